// ONNX Runtime custom operators, domain ai.seqvae, version 1. Built only with -DORT_INCLUDE_DIR=DIR; the runtime is
// not linked, it hands its interface to RegisterCustomOps.
//
//   KLRows(mean [..., D], log_variance [..., D]; free_bits = 0) -> kl [...] float, nats
//   SampleLatent(mean [..., D], log_variance [..., D], seed [1] int64, offset [1] int64 = 0, noise_scale [1] float = 1;
//                samples = 0, rounds = 10) -> z [..., D], or [samples, ..., D] with samples >= 1
//
// What they compute is defined by seqvae.ops.kl_rows and seqvae.ops.sample_latent. CPU: float, by the native twins. CUDA:
// float, float16 and bfloat16, by the embedded kernels, on the runtime's stream.
#define ORT_API_MANUAL_INIT
#include <cstring>

#include "ort_ops.h"

namespace seqvae {
namespace ort {

int64_t attribute(const OrtApi& api, const OrtKernelInfo* info, const char* name, int64_t fallback) {
  int64_t value = 0;
  const Ort::Status status(api.KernelInfoGetAttribute_int64(info, name, &value));
  return status.IsOK() ? value : fallback;
}

float attribute(const OrtApi& api, const OrtKernelInfo* info, const char* name, float fallback) {
  float value = 0;
  const Ort::Status status(api.KernelInfoGetAttribute_float(info, name, &value));
  return status.IsOK() ? value : fallback;
}

Statistics statistics(const Ort::KernelContext& context) {
  const Ort::ConstValue mean = context.GetInput(0), log_variance = context.GetInput(1);
  Statistics found;
  found.shape = mean.GetTensorTypeAndShapeInfo().GetShape();
  if (found.shape.empty()) throw std::invalid_argument("mean must be [..., D], got a scalar");
  if (log_variance.GetTensorTypeAndShapeInfo().GetShape() != found.shape) {
    throw std::invalid_argument("mean and log_variance differ in shape");
  }
  found.dim = found.shape.back();
  found.rows = 1;
  for (size_t i = 0; i + 1 < found.shape.size(); ++i) found.rows *= found.shape[i];
  found.mean = mean.GetTensorRawData();
  found.log_variance = log_variance.GetTensorRawData();
  return found;
}

namespace {

constexpr const char* kCpu = "CPUExecutionProvider";

SeqvaeGaussian request(const Statistics& statistics) {
  SeqvaeGaussian found{};
  found.size = sizeof found;
  found.rows = statistics.rows;
  found.dim = statistics.dim;
  found.samples = 1;
  found.mean_stride = found.log_variance_stride = statistics.dim;
  found.mean = static_cast<const float*>(statistics.mean);
  found.log_variance = static_cast<const float*>(statistics.log_variance);
  found.noise_scale = 1;
  found.low = -std::numeric_limits<float>::infinity();
  found.high = std::numeric_limits<float>::infinity();
  found.free_bits = -std::numeric_limits<float>::infinity();
  found.rounds = 10;
  // The runtime has threads of its own.
  found.threads = 1;
  return found;
}

void run(const SeqvaeGaussian& request) {
  const int32_t status = seqvae_gaussian_forward(&request);
  if (status != SEQVAE_OK) {
    throw std::runtime_error("seqvae_gaussian_forward failed: " + std::to_string(status));
  }
}

struct CpuKLRows : KLRows {
  using KLRows::KLRows;

  void compute(const Statistics& statistics, Ort::KernelContext&, void* kl) const {
    SeqvaeGaussian all = request(statistics);
    all.kl_rows = static_cast<float*>(kl);
    if (free_bits > 0) all.free_bits = free_bits;
    run(all);
  }
};

struct CpuSampleLatent : SampleLatent {
  using SampleLatent::SampleLatent;

  void compute(const Statistics& statistics, Ort::KernelContext& context, void* z) const {
    SeqvaeGaussian all = request(statistics);
    all.samples = std::max<int64_t>(samples, 1);
    all.seed = *one<int64_t>(context, 2, "seed");
    if (const int64_t* offset = one<int64_t>(context, 3, "offset")) all.offset = *offset;
    all.noise_scale = noise_scale(context);
    all.rounds = static_cast<int32_t>(rounds);
    all.z = static_cast<float*>(z);
    run(all);
  }
};

Ort::CustomOpDomain operators() {
  constexpr auto kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  static const Op<CpuKLRows, kFloat> kl(kCpu);
  static const Op<CpuSampleLatent, kFloat> sample(kCpu);
  Ort::CustomOpDomain domain("ai.seqvae");
#if defined(SEQVAE_ORT_CUDA_PROVIDER)
  add_cuda(domain, SEQVAE_ORT_CUDA_PROVIDER);
  // Tests without a GPU put the CUDA operators in the CPU operators' place.
  if (std::strcmp(SEQVAE_ORT_CUDA_PROVIDER, kCpu) == 0) return domain;
#endif
  domain.Add(&kl);
  domain.Add(&sample);
  return domain;
}

}  // namespace

}  // namespace ort
}  // namespace seqvae

extern "C" SEQVAE_ORT_EXPORT OrtStatus* ORT_API_CALL RegisterCustomOps(OrtSessionOptions* options,
                                                                      const OrtApiBase* base) {
  const OrtApi* api = base->GetApi(ORT_API_VERSION);
  if (api == nullptr) {
    // Only an older runtime than the headers lacks this version; its own version 1 can still report that.
    return base->GetApi(1)->CreateStatus(ORT_FAIL, "this library needs a newer ONNX Runtime");
  }
  Ort::InitApi(api);
  try {
    using namespace seqvae::ort;
    // Never freed: the runtime may be gone when this library's static objects are destroyed.
    static const Ort::CustomOpDomain* const domain = new Ort::CustomOpDomain(operators());
    return api->AddCustomOpDomain(options, *domain);
  } catch (const std::exception& error) {
    return api->CreateStatus(ORT_FAIL, error.what());
  }
}
