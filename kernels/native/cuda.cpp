// The embedded GPU kernels: choosing, loading once per context, launching.
#include <dlfcn.h>

#include <cstring>
#include <iterator>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cuda_kernels.h"

namespace {

struct Cubin {
  const char* name;
  const char* entry;
  const char* parameters;
  const char* constants;
  int32_t arch;
  bool exact;         // runs on exactly this architecture
  uint32_t threads;   // per program
  uint32_t shared;    // bytes per program
  int32_t scratch;    // null pointers that Triton's calling convention appends
  uint64_t offset;    // into seqvae_cubins
  uint64_t size;
};

}  // namespace

extern "C" const unsigned char seqvae_cubins[] __attribute__((visibility("hidden")));
#include "cubins.inc"

namespace {

constexpr int32_t kCount = static_cast<int32_t>(std::size(kCubins));
constexpr uint32_t kMaxGridX = 0x7FFFFFFF;
constexpr uint32_t kMaxGridYZ = 65535;
// More needs the kernel's consent (CUDA C++ programming guide, shared memory 8.x and 9.0).
constexpr uint32_t kDefaultShared = 48 * 1024;
constexpr int kMaxDynamicShared = 8;  // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
constexpr int kCapabilityMajor = 75;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
constexpr int kCapabilityMinor = 76;
constexpr int kCaptureRelaxed = 2;    // CU_STREAM_CAPTURE_MODE_RELAXED

thread_local std::string last_error;

int32_t fail(int32_t status, const std::string& message) {
  last_error = message;
  return status;
}

// The part of the driver's interface used here, declared by hand so that building needs no CUDA.
struct Driver {
  int (*init)(unsigned) = nullptr;
  int (*get_current)(void**) = nullptr;
  int (*set_current)(void*) = nullptr;
  int (*current_device)(int*) = nullptr;
  int (*get_device)(int*, int) = nullptr;
  int (*get_attribute)(int*, int, int) = nullptr;
  int (*retain)(void**, int) = nullptr;
  int (*load)(void**, const void*) = nullptr;
  int (*get_function)(void**, void*, const char*) = nullptr;
  int (*set_attribute)(void*, int, int) = nullptr;
  int (*launch)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*,
                void**, void**) = nullptr;
  int (*error_name)(int, const char**) = nullptr;
  int (*error_string)(int, const char**) = nullptr;
  int (*exchange_capture_mode)(int*) = nullptr;  // may be absent
  std::string missing;

  Driver() {
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      missing = dlerror();
      return;
    }
    find(library, "cuInit", init);
    find(library, "cuCtxGetCurrent", get_current);
    find(library, "cuCtxSetCurrent", set_current);
    find(library, "cuCtxGetDevice", current_device);
    find(library, "cuDeviceGet", get_device);
    find(library, "cuDeviceGetAttribute", get_attribute);
    find(library, "cuDevicePrimaryCtxRetain", retain);
    find(library, "cuModuleLoadData", load);
    find(library, "cuModuleGetFunction", get_function);
    find(library, "cuFuncSetAttribute", set_attribute);
    find(library, "cuLaunchKernel", launch);
    find(library, "cuGetErrorName", error_name);
    find(library, "cuGetErrorString", error_string);
    if (missing.empty()) {
      find(library, "cuThreadExchangeStreamCaptureMode", exchange_capture_mode);
      missing.clear();
    }
  }

  template <class Function>
  void find(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr) missing = std::string("it has no ") + name;
  }

  std::string explain(int result) const {
    const char *name = nullptr, *text = nullptr;
    error_name(result, &name);
    error_string(result, &text);
    return std::string(name ? name : "unknown error") + " (" + std::to_string(result) + ")" +
           (text ? std::string(": ") + text : "");
  }
};

const Driver& driver() {
  static const Driver found;
  return found;
}

// Loading a module may allocate, which a capturing stream forbids to its thread unless relaxed.
class RelaxedCapture {
 public:
  explicit RelaxedCapture(const Driver& driver) : driver_(driver) { exchange(); }
  ~RelaxedCapture() { exchange(); }

 private:
  void exchange() {
    if (driver_.exchange_capture_mode != nullptr) driver_.exchange_capture_mode(&mode_);
  }
  const Driver& driver_;
  int mode_ = kCaptureRelaxed;
};

bool valid(int32_t kernel) { return kernel >= 0 && kernel < kCount; }

int32_t no_kernel(int32_t kernel) {
  return fail(SEQVAE_CUDA_NO_KERNEL, "no kernel has number " + std::to_string(kernel));
}

int32_t driver_failed(const Cubin& cubin, const char* what, int result) {
  return fail(result, std::string(cubin.name) + ": " + what + ": " + driver().explain(result));
}

int32_t current_context(const Cubin& cubin, int32_t device, void** context) {
  const Driver& cuda = driver();
  // Without an initialised driver this fails, which the calls below mend.
  if (cuda.get_current(context) == 0 && *context != nullptr) return SEQVAE_CUDA_OK;
  int handle = 0;
  int result = cuda.init(0);
  if (result == 0) result = cuda.get_device(&handle, device);
  if (result == 0) result = cuda.retain(context, handle);
  if (result == 0) result = cuda.set_current(*context);
  if (result != 0) return driver_failed(cubin, "no context", result);
  return SEQVAE_CUDA_OK;
}

int32_t load(const Cubin& cubin, void** function) {
  const Driver& cuda = driver();
  const RelaxedCapture relaxed(cuda);
  void* module = nullptr;
  int result = cuda.load(&module, seqvae_cubins + cubin.offset);
  if (result != 0) return driver_failed(cubin, "loading its machine code", result);
  result = cuda.get_function(function, module, cubin.entry);
  if (result != 0) return driver_failed(cubin, "finding its entry", result);
  if (cubin.shared > kDefaultShared) {
    result = cuda.set_attribute(*function, kMaxDynamicShared, static_cast<int>(cubin.shared));
    if (result != 0) return driver_failed(cubin, "reserving shared memory", result);
  }
  return SEQVAE_CUDA_OK;
}

// A kernel's function in the current context; loaded when first asked for.
int32_t function_of(int32_t kernel, int32_t device, void** function) {
  if (!driver().missing.empty()) {
    return fail(SEQVAE_CUDA_NO_DRIVER, "the NVIDIA driver cannot be opened: " + driver().missing);
  }
  static std::mutex mutex;
  static std::vector<std::pair<void*, void*>> loaded[kCount];
  const Cubin& cubin = kCubins[kernel];
  void* context = nullptr;
  int32_t status = current_context(cubin, device, &context);
  if (status != SEQVAE_CUDA_OK) return status;
  const std::lock_guard<std::mutex> lock(mutex);
  for (const auto& [where, what] : loaded[kernel]) {
    if (where == context) {
      *function = what;
      return SEQVAE_CUDA_OK;
    }
  }
  status = load(cubin, function);
  if (status == SEQVAE_CUDA_OK) loaded[kernel].emplace_back(context, *function);
  return status;
}

int32_t check(const Cubin& cubin, const uint64_t* arguments, int32_t count) {
  const auto expected = static_cast<int32_t>(std::strlen(cubin.parameters));
  if (count != expected) {
    return fail(SEQVAE_CUDA_BAD_ARGUMENTS, std::string(cubin.name) + ": takes " +
                                               std::to_string(expected) + " arguments, got " +
                                               std::to_string(count));
  }
  for (int32_t i = 0; i < count; ++i) {
    const char kind = cubin.parameters[i];
    if ((kind == 'P' || kind == 'L' || kind == 'I') && arguments[i] % 16 != 0) {
      return fail(SEQVAE_CUDA_MISALIGNED, std::string(cubin.name) + ": argument " +
                                              std::to_string(i) + " is no multiple of 16");
    }
  }
  return SEQVAE_CUDA_OK;
}

}  // namespace

int32_t seqvae_cuda_count() { return kCount; }

const char* seqvae_cuda_source() { return kSource; }

int32_t seqvae_cuda_find(const char* name, int32_t arch) {
  int32_t best = -1;
  // Sorted by name, then architecture: the last that fits is the newest.
  int32_t low = 0, high = kCount;
  while (low < high) {
    const int32_t middle = (low + high) / 2;
    if (std::strcmp(kCubins[middle].name, name) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  for (; low < kCount && std::strcmp(kCubins[low].name, name) == 0; ++low) {
    const Cubin& cubin = kCubins[low];
    const bool same = cubin.arch == arch;
    const bool older = !cubin.exact && cubin.arch / 10 == arch / 10 && cubin.arch < arch;
    if (same || older) best = low;
  }
  return best;
}

const char* seqvae_cuda_name(int32_t kernel) {
  return valid(kernel) ? kCubins[kernel].name : nullptr;
}

int32_t seqvae_cuda_arch(int32_t kernel) { return valid(kernel) ? kCubins[kernel].arch : -1; }

const char* seqvae_cuda_parameters(int32_t kernel) {
  return valid(kernel) ? kCubins[kernel].parameters : nullptr;
}

const char* seqvae_cuda_constants(int32_t kernel) {
  return valid(kernel) ? kCubins[kernel].constants : nullptr;
}

const char* seqvae_cuda_error() { return last_error.c_str(); }

int32_t seqvae_cuda_device_arch(int32_t device) {
  const Driver& cuda = driver();
  if (!cuda.missing.empty()) return -1;
  int handle = 0, major = 0, minor = 0;
  const bool found = cuda.current_device(&handle) == 0 ||
                     (cuda.init(0) == 0 && cuda.get_device(&handle, device) == 0);
  if (!found || cuda.get_attribute(&major, kCapabilityMajor, handle) != 0 ||
      cuda.get_attribute(&minor, kCapabilityMinor, handle) != 0) {
    return -1;
  }
  return 10 * major + minor;
}

int32_t seqvae_cuda_load(int32_t kernel, int32_t device) {
  if (!valid(kernel)) return no_kernel(kernel);
  void* function = nullptr;
  return function_of(kernel, device, &function);
}

int32_t seqvae_cuda_launch(int32_t kernel, int32_t device, uint32_t x, uint32_t y, uint32_t z,
                           void* stream, const uint64_t* arguments, int32_t count) {
  if (!valid(kernel)) return no_kernel(kernel);
  const Cubin& cubin = kCubins[kernel];
  int32_t status = check(cubin, arguments, count);
  if (status != SEQVAE_CUDA_OK) return status;
  if (x > kMaxGridX || y > kMaxGridYZ || z > kMaxGridYZ) {
    return fail(SEQVAE_CUDA_BAD_GRID, std::string(cubin.name) + ": grid " + std::to_string(x) +
                                          " x " + std::to_string(y) + " x " + std::to_string(z) +
                                          " exceeds 2147483647 x 65535 x 65535");
  }
  if (x == 0 || y == 0 || z == 0) return SEQVAE_CUDA_OK;
  void* function = nullptr;
  status = function_of(kernel, device, &function);
  if (status != SEQVAE_CUDA_OK) return status;
  uint64_t nothing = 0;
  void* parameters[64];
  const int32_t total = count + cubin.scratch;
  if (total > static_cast<int32_t>(std::size(parameters))) {
    return fail(SEQVAE_CUDA_BAD_ARGUMENTS, std::string(cubin.name) + ": too many parameters");
  }
  for (int32_t i = 0; i < total; ++i) {
    // The driver reads the arguments during the call and does not write them.
    parameters[i] = i < count ? const_cast<uint64_t*>(arguments + i) : &nothing;
  }
  const int result = driver().launch(function, x, y, z, cubin.threads, 1, 1, cubin.shared, stream,
                                 parameters, nullptr);
  if (result != 0) return driver_failed(cubin, "launching", result);
  return SEQVAE_CUDA_OK;
}

int32_t seqvae_cuda_launch_request(const SeqvaeCudaRequest* request) {
  return seqvae_cuda_launch(request->kernel, request->device, request->x, request->y, request->z,
                            reinterpret_cast<void*>(static_cast<uintptr_t>(request->stream)),
                            reinterpret_cast<const uint64_t*>(request + 1), request->count);
}
