// Launching the GPU kernels that were compiled ahead of time and are embedded in this library. Built only
// with -DSEQVAE_CUBINS=DIR. The driver, libcuda.so.1, is opened when a kernel is first launched: the library
// loads on machines without one.
#pragma once

#include "seqvae_native.h"

// Status of a launch. Positive values are the driver's CUresult.
enum SeqvaeCudaStatus : int32_t {
  SEQVAE_CUDA_OK = 0,
  SEQVAE_CUDA_NO_DRIVER = -1,
  SEQVAE_CUDA_NO_KERNEL = -2,
  SEQVAE_CUDA_BAD_ARGUMENTS = -3,
  SEQVAE_CUDA_MISALIGNED = -4,
  SEQVAE_CUDA_BAD_GRID = -5,
};

// Number of embedded kernels; they are numbered from 0.
SEQVAE_EXPORT int32_t seqvae_cuda_count();

// Hash of the sources they were compiled from: seqvae.kernels.native.cuda.source_hash().
SEQVAE_EXPORT const char* seqvae_cuda_source();

// The kernel to run on a GPU of compute capability `arch` (90 for 9.0), or -1. Code for exactly this GPU comes first, then
// code for a lower minor version of the same major one, where it runs.
SEQVAE_EXPORT int32_t seqvae_cuda_find(const char* name, int32_t arch);

// Name, architecture, parameters and constants of a kernel. One letter a parameter: p pointer, i int32, l int64,
// f float, d double; a capital demands a multiple of 16. Constants read "NAME=value;NAME=value;".
SEQVAE_EXPORT const char* seqvae_cuda_name(int32_t kernel);
SEQVAE_EXPORT int32_t seqvae_cuda_arch(int32_t kernel);
SEQVAE_EXPORT const char* seqvae_cuda_parameters(int32_t kernel);
SEQVAE_EXPORT const char* seqvae_cuda_constants(int32_t kernel);

// Compute capability of the current context's GPU, or without one of `device`: 90 for 9.0; -1 if there is none.
SEQVAE_EXPORT int32_t seqvae_cuda_device_arch(int32_t device);

// Loads a kernel into the current context, as its first launch there does; without a current context, into that of
// `device`. Safe while a stream captures.
SEQVAE_EXPORT int32_t seqvae_cuda_load(int32_t kernel, int32_t device);

// Launches x * y * z programs on a stream of the current context; without a current context, that of `device` is made
// current. Each argument fills 8 bytes, smaller ones the low end. Does not wait. An empty grid does nothing.
SEQVAE_EXPORT int32_t seqvae_cuda_launch(int32_t kernel, int32_t device, uint32_t x, uint32_t y,
                                         uint32_t z, void* stream, const uint64_t* arguments,
                                         int32_t count);

// The same in one argument, which ctypes passes 1 us faster than eight. Followed by the arguments, 8 bytes each.
struct SeqvaeCudaRequest {
  int32_t kernel;
  int32_t device;
  uint32_t x;
  uint32_t y;
  uint32_t z;
  int32_t count;
  uint64_t stream;
};
SEQVAE_EXPORT int32_t seqvae_cuda_launch_request(const SeqvaeCudaRequest* request);

// What the last launch of this thread that failed has to say.
SEQVAE_EXPORT const char* seqvae_cuda_error();
