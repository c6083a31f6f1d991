// What the CPU and the CUDA operators share: types, shapes, attributes. C++ exceptions end here, as a status.
#pragma once

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "onnxruntime_cxx_api.h"
#include "seqvae_native.h"

#if defined(_WIN32)
#define SEQVAE_ORT_EXPORT __declspec(dllexport)
#else
#define SEQVAE_ORT_EXPORT __attribute__((visibility("default")))
#endif

namespace seqvae {
namespace ort {

struct Statistics {
  std::vector<int64_t> shape;  // [..., dim]
  int64_t rows = 0;
  int64_t dim = 0;
  const void* mean = nullptr;
  const void* log_variance = nullptr;
};

Statistics statistics(const Ort::KernelContext& context);
int64_t attribute(const OrtApi& api, const OrtKernelInfo* info, const char* name, int64_t fallback);
float attribute(const OrtApi& api, const OrtKernelInfo* info, const char* name, float fallback);

// The address of an input of one element; null if it is optional and absent.
template <class Value>
const Value* one(const Ort::KernelContext& context, size_t index, const char* name) {
  if (index >= context.GetInputCount()) return nullptr;
  const Ort::ConstValue value = context.GetInput(index);
  if (value == nullptr) return nullptr;
  const size_t count = value.GetTensorTypeAndShapeInfo().GetElementCount();
  if (count != 1) {
    throw std::invalid_argument(std::string(name) + " must have one element, got " +
                                std::to_string(count));
  }
  return value.GetTensorData<Value>();
}

struct KLRows {
  static constexpr const char* kName = "KLRows";
  static constexpr size_t kInputs = 2;
  static constexpr bool kFloatOutput = true;

  KLRows(const OrtApi& api, const OrtKernelInfo* info)
      : free_bits(attribute(api, info, "free_bits", 0.0f)) {}

  std::vector<int64_t> output(const Statistics& statistics) const {
    return {statistics.shape.begin(), statistics.shape.end() - 1};
  }

  float free_bits;
};

struct SampleLatent {
  static constexpr const char* kName = "SampleLatent";
  static constexpr size_t kInputs = 5;
  static constexpr bool kFloatOutput = false;

  SampleLatent(const OrtApi& api, const OrtKernelInfo* info)
      : samples(attribute(api, info, "samples", int64_t{0})),
        rounds(attribute(api, info, "rounds", int64_t{10})) {
    if (samples < 0) throw std::invalid_argument("samples must not be negative");
    if (rounds != 7 && rounds != 10) throw std::invalid_argument("rounds must be 7 or 10");
  }

  std::vector<int64_t> output(const Statistics& statistics) const {
    std::vector<int64_t> shape = statistics.shape;
    if (samples > 0) shape.insert(shape.begin(), samples);
    return shape;
  }

  static float noise_scale(const Ort::KernelContext& context) {
    const float* value = one<float>(context, 4, "noise_scale");
    return value == nullptr ? 1.0f : *value;
  }

  int64_t samples;
  int64_t rounds;
};

template <class Kernel>
struct Computed : Kernel {
  using Kernel::Kernel;

  OrtStatusPtr ComputeV2(OrtKernelContext* raw) {
    try {
      Ort::KernelContext context(raw);
      const Statistics given = statistics(context);
      Ort::UnownedValue out = context.GetOutput(0, this->output(given));
      this->compute(given, context, out.GetTensorMutableRawData());
      return nullptr;
    } catch (const std::exception& error) {
      const std::string text = std::string(Kernel::kName) + ": " + error.what();
      return Ort::GetApi().CreateStatus(ORT_INVALID_ARGUMENT, text.c_str());
    }
  }
};

// An operator for one provider and one element type.
template <class Kernel, ONNXTensorElementDataType kType>
struct Op : Ort::CustomOpBase<Op<Kernel, kType>, Computed<Kernel>, true> {
  explicit Op(const char* provider) : provider_(provider) {}

  OrtStatusPtr CreateKernelV2(const OrtApi& api, const OrtKernelInfo* info, void** kernel) const {
    try {
      *kernel = new Computed<Kernel>(api, info);
      return nullptr;
    } catch (const std::exception& error) {
      const std::string text = std::string(Kernel::kName) + ": " + error.what();
      return api.CreateStatus(ORT_INVALID_ARGUMENT, text.c_str());
    }
  }

  const char* GetName() const { return Kernel::kName; }
  const char* GetExecutionProviderType() const { return provider_; }
  size_t GetInputTypeCount() const { return Kernel::kInputs; }
  ONNXTensorElementDataType GetInputType(size_t index) const {
    if (index < 2) return kType;
    return index < 4 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  }
  OrtCustomOpInputOutputCharacteristic GetInputCharacteristic(size_t index) const {
    return index < 3 ? INPUT_OUTPUT_REQUIRED : INPUT_OUTPUT_OPTIONAL;
  }
  // A kernel takes the noise scale by value, the seed and the offset by address.
  OrtMemType GetInputMemoryType(size_t index) const {
    return index == 4 ? OrtMemTypeCPUInput : OrtMemTypeDefault;
  }
  size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetOutputType(size_t) const {
    return Kernel::kFloatOutput ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : kType;
  }

 private:
  const char* provider_;
};

// The operators that launch embedded kernels, for the types that have any.
void add_cuda(Ort::CustomOpDomain& domain, const char* provider);

}  // namespace ort
}  // namespace seqvae
