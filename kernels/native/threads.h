// Fork and join over a pool of threads that sleep between calls.
#pragma once

#include <cstdint>

namespace seqvae {

// Calls task(context, i) for every i in [0, tasks), on the calling thread and at most threads - 1 others,
// and returns when all are done. Which thread gets which i is not fixed. A call that finds the pool
// taken by another thread's call runs alone.
void parallel_for(int64_t tasks, int32_t threads, void (*task)(const void*, int64_t),
                  const void* context);

}  // namespace seqvae
