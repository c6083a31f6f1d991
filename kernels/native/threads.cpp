#include "threads.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#if !defined(_WIN32)
#include <dlfcn.h>
#include <unistd.h>
#endif

namespace seqvae {
namespace {

constexpr int32_t kMostThreads = 256;

int64_t process() {
#if defined(_WIN32)
  return 0;
#else
  return getpid();
#endif
}

struct Job {
  void (*task)(const void*, int64_t);
  const void* context;
  int64_t tasks;
  std::atomic<int64_t> next{0};

  void drain() {
    for (int64_t i = next++; i < tasks; i = next++) task(context, i);
  }
};

class Pool {
 public:
  const int64_t owner = process();

  void run(Job& job, int32_t helpers) {
    const std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (turn.owns_lock()) {
      start(helpers);
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        job_ = &job;
        openings_ = helpers < started_ ? helpers : started_;
      }
      for (int32_t i = 0; i < helpers; ++i) wake_.notify_one();
    }
    job.drain();
    if (turn.owns_lock()) {
      std::unique_lock<std::mutex> lock(mutex_);
      // A helper that wakes up only now finds no opening.
      openings_ = 0;
      done_.wait(lock, [this] { return active_ == 0; });
    }
  }

 private:
  void start(int32_t helpers) {
    try {
      for (; started_ < helpers; ++started_) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
      // The system has no more threads: the caller does what they would have done.
    }
  }

  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return openings_ > 0; });
      --openings_;
      ++active_;
      Job& job = *job_;
      lock.unlock();
      job.drain();
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  std::mutex turn_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  Job* job_ = nullptr;
  int32_t openings_ = 0;
  int32_t active_ = 0;
  int32_t started_ = 0;
};

// Never destroyed: its threads sleep until the process ends. A forked child has no threads and makes a
// pool of its own.
Pool& pool() {
  static std::atomic<Pool*> current{nullptr};
  Pool* found = current.load();
  while (found == nullptr || found->owner != process()) {
    Pool* fresh = new Pool;
    if (current.compare_exchange_strong(found, fresh)) return *fresh;
    delete fresh;
  }
  return *found;
}

using Team = void (*)(void (*)(void*), void*, unsigned, unsigned);

// The OpenMP runtime of a torch in this process, or null. Its workers spin for a while after each of torch's
// operations: beside them threads of our own get half a processor (measured on two: 1.4 times the time).
Team find_team() {
#if defined(__linux__)
  if (void* torch = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD)) {
    return reinterpret_cast<Team>(dlsym(torch, "GOMP_parallel"));
  }
#endif
  return nullptr;
}

// A forked child has no workers, and an OpenMP runtime may wait for them for ever.
Team team_of_torch() {
  static const int64_t owner = process();
  static const Team found = find_team();
  return process() == owner ? found : nullptr;
}

void drain_job(void* job) { static_cast<Job*>(job)->drain(); }

}  // namespace

void parallel_for(int64_t tasks, int32_t threads, void (*task)(const void*, int64_t),
                  const void* context) {
  Job job{task, context, tasks};
  if (threads > kMostThreads) threads = kMostThreads;
  if (threads > tasks) threads = static_cast<int32_t>(tasks);
  if (threads <= 1) {
    job.drain();
  } else if (const Team team = team_of_torch()) {
    team(drain_job, &job, static_cast<unsigned>(threads), 0);
  } else {
    pool().run(job, threads - 1);
  }
}

}  // namespace seqvae
