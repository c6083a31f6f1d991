// Say a sentence differently: texts in, texts out, onnxruntime and nothing else.
//
//     cmake -S examples/cpp -B build/cpp -DORT_INCLUDE_DIR=... -DORT_LIBRARY=... && cmake --build build/cpp
//     build/cpp/paraphrase BUNDLE/cpu-fp32/model.onnx SENTENCE [SEED [EXTENSIONS]]
//
// EXTENSIONS is the shared library of onnxruntime-extensions; a bundle exported with
// `--tokenizer char` does without.

#include <onnxruntime_cxx_api.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

namespace {

constexpr int64_t kTexts = 5;

// The tensor looks at the values, it does not copy them.
template <typename T, size_t N>
Ort::Value Column(std::array<T, N>& values) {
  const std::array<int64_t, 2> shape{static_cast<int64_t>(N), 1};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  return Ort::Value::CreateTensor<T>(memory, values.data(), N, shape.data(), shape.size());
}

Ort::Value Texts(const std::vector<const char*>& texts) {
  const auto count = static_cast<int64_t>(texts.size());
  Ort::AllocatorWithDefaultOptions allocator;
  auto value = Ort::Value::CreateTensor(allocator, &count, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING);
  value.FillStringTensor(texts.data(), texts.size());
  return value;
}

void Paraphrase(const char* model, const char* sentence, int64_t seed, const char* extensions) {
  // Inputs with defaults are worth a warning each to onnxruntime: errors only.
  const Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "paraphrase");
  Ort::SessionOptions options;
  if (extensions != nullptr) {
    options.RegisterCustomOpsLibrary(std::filesystem::path(extensions).c_str());
  }
  Ort::Session session(env, std::filesystem::path(model).c_str(), options);

  // One value for each row, or one for all; what is left out has its default.
  std::array<int64_t, 1> seeds{seed};
  std::array<int64_t, kTexts> samples;
  std::iota(samples.begin(), samples.end(), 0);
  std::array<float, 1> temperature{0.7F};
  const std::array<const char*, 4> inputs{"text", "seed", "sample", "temperature"};
  std::array<Ort::Value, 4> feeds{Texts(std::vector<const char*>(kTexts, sentence)), Column(seeds),
                                  Column(samples), Column(temperature)};
  const char* output = "written";
  const auto written = session.Run(Ort::RunOptions{nullptr}, inputs.data(), feeds.data(),
                                   feeds.size(), &output, 1);
  for (size_t row = 0; row < kTexts; ++row) {
    std::printf("%s\n", written[0].GetStringTensorElement(row).c_str());
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) {
    std::fprintf(stderr, "paraphrase MODEL SENTENCE [SEED [EXTENSIONS]]\n");
    return 2;
  }
  try {
    const int64_t seed = count > 3 ? std::strtoll(arguments[3], nullptr, 10) : 0;
    Paraphrase(arguments[1], arguments[2], seed, count > 4 ? arguments[4] : nullptr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "paraphrase: %s\n", error.what());
    return 1;
  }
}
