// The operators on the CUDA provider: the embedded Triton kernels of kernels/gaussian_inference.py, on the runtime's
// stream. Names, arguments and grids are those of kernels/gaussian_launch.py.
#define ORT_API_MANUAL_INIT
#include <cstdlib>
#include <cstring>
#include <utility>

#include "cuda_kernels.h"
#include "ort_ops.h"

namespace seqvae {
namespace ort {
namespace {

// A row of the launch tables serves D up to a power of two.
constexpr int64_t kNarrowest = 16, kWidest = 4096;

template <ONNXTensorElementDataType kType>
constexpr const char* dtype() {
  return kType == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT     ? "fp32"
         : kType == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 ? "fp16"
                                                          : "bf16";
}

// Neighbours that a thread takes: 16 bytes, or four, or one.
int64_t width(const std::string& dtype, int64_t dim) {
  if (dtype != "fp32" && dim % 8 == 0) return 8;
  return dim % 4 == 0 ? 4 : 1;
}

int64_t constant(int32_t kernel, const std::string& name) {
  const std::string all = std::string(";") + seqvae_cuda_constants(kernel);
  const size_t at = all.find(";" + name + "=");
  if (at == std::string::npos) throw std::runtime_error("the kernel has no constant " + name);
  return std::strtoll(all.c_str() + at + name.size() + 2, nullptr, 10);
}

// The kernel for rows of `dim` elements on the current GPU.
int32_t find(const std::string& op, const std::string& dtype, int64_t dim,
             const std::string& switches, const char* parameters) {
  const int32_t arch = seqvae_cuda_device_arch(0);
  const int64_t neighbours = width(dtype, dim);
  std::string tail = switches;
  if (neighbours != width(dtype, 8)) tail += "_w" + std::to_string(neighbours);
  for (int64_t size = kNarrowest; size <= kWidest; size *= 2) {
    if (size < dim) continue;
    const std::string name = op + "_" + dtype + "_d" + std::to_string(size) + tail;
    const int32_t kernel = seqvae_cuda_find(name.c_str(), arch);
    if (kernel < 0) continue;
    if (std::strcmp(seqvae_cuda_parameters(kernel), parameters) != 0) {
      throw std::runtime_error(name + " takes " + seqvae_cuda_parameters(kernel) + ", not " +
                               parameters);
    }
    return kernel;
  }
  throw std::invalid_argument("no kernel " + op + "_" + dtype + "_d*" + tail + " for D = " +
                              std::to_string(dim) + " on sm_" + std::to_string(arch) +
                              " is in this library");
}

uint64_t address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

uint64_t bits(float value) {
  uint32_t word = 0;
  std::memcpy(&word, &value, sizeof word);
  return word;
}

void launch(int32_t kernel, int64_t rows, const Ort::KernelContext& context,
            const std::vector<uint64_t>& arguments) {
  const int64_t block = constant(kernel, "BLOCK_M");
  const int64_t programs = (rows + block - 1) / block;
  if (programs > 0x7FFFFFFF) throw std::invalid_argument("too many rows");
  const int32_t status = seqvae_cuda_launch(
      kernel, 0, static_cast<uint32_t>(programs), 1, 1, context.GetGPUComputeStream(),
      arguments.data(), static_cast<int32_t>(arguments.size()));
  if (status != SEQVAE_CUDA_OK) throw std::runtime_error(seqvae_cuda_error());
}

template <ONNXTensorElementDataType kType>
struct CudaKLRows : KLRows {
  using KLRows::KLRows;

  void compute(const Statistics& given, Ort::KernelContext& context, void* kl) const {
    const int32_t kernel = find("kl_rows", dtype<kType>(), given.dim, "", "PPplillf");
    const auto rows = static_cast<uint64_t>(given.rows), dim = static_cast<uint64_t>(given.dim);
    launch(kernel, given.rows, context,
           {address(given.mean), address(given.log_variance), address(kl), rows, dim, dim, dim,
            bits(free_bits)});
  }
};

template <ONNXTensorElementDataType kType>
struct CudaSampleLatent : SampleLatent {
  using SampleLatent::SampleLatent;

  void compute(const Statistics& given, Ort::KernelContext& context, void* z) const {
    std::string switches = samples > 1 ? "_many" : "";
    if (rounds != 10) switches += "_r" + std::to_string(rounds);
    const int32_t kernel =
        find("sample_latent", dtype<kType>(), given.dim, switches, "PPppPlillilif");
    const auto rows = static_cast<uint64_t>(given.rows), dim = static_cast<uint64_t>(given.dim);
    // The seed and the offset stay on the device.
    const auto* seed = one<int64_t>(context, 2, "seed");
    const auto* offset = one<int64_t>(context, 3, "offset");
    launch(kernel, given.rows, context,
           {address(given.mean), address(given.log_variance), address(seed),
            address(offset == nullptr ? seed : offset), address(z), rows, dim, dim, dim,
            static_cast<uint64_t>(std::max<int64_t>(samples, 1)), 0,
            static_cast<uint64_t>(offset != nullptr), bits(noise_scale(context))});
  }
};

// Whether any kernel whose name begins so is embedded.
bool embedded(const std::string& start) {
  for (int32_t kernel = 0; kernel < seqvae_cuda_count(); ++kernel) {
    if (std::strncmp(seqvae_cuda_name(kernel), start.c_str(), start.size()) == 0) return true;
  }
  return false;
}

template <ONNXTensorElementDataType kType>
void add(Ort::CustomOpDomain& domain, const char* provider) {
  const std::string type = dtype<kType>();
  static const Op<CudaKLRows<kType>, kType> kl(provider);
  static const Op<CudaSampleLatent<kType>, kType> sample(provider);
  if (embedded("kl_rows_" + type + "_")) domain.Add(&kl);
  if (embedded("sample_latent_" + type + "_")) domain.Add(&sample);
}

}  // namespace

void add_cuda(Ort::CustomOpDomain& domain, const char* provider) {
  add<ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT>(domain, provider);
  add<ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16>(domain, provider);
  add<ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16>(domain, provider);
}

}  // namespace ort
}  // namespace seqvae
