// A loop over independent pieces of work on XLA's own threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "xla/ffi/api/ffi.h"

namespace dfm {

// Calls work(i) for i in [0, count), on the caller's thread and those of the pool.
// The caller never waits for a task that has not started, so it cannot deadlock when all of
// the pool's threads are themselves in here.
inline void ParallelFor(xla::ffi::ThreadPool& pool, int count, std::function<void(int)> work) {
  struct Shared {
    std::function<void(int)> work;
    int count;
    std::atomic<int> next{0};
    int done = 0;
    std::mutex mutex;
    std::condition_variable all_done;

    void Help() {
      int finished = 0;
      for (int i; (i = next.fetch_add(1)) < count; ++finished) work(i);
      if (!finished) return;
      std::lock_guard<std::mutex> lock(mutex);
      if ((done += finished) == count) all_done.notify_all();
    }
  };
  auto shared = std::make_shared<Shared>();
  shared->work = std::move(work);
  shared->count = count;
  const int helpers = std::min<int>(count, pool.num_threads()) - 1;
  for (int i = 0; i < helpers; ++i) pool.Schedule([shared] { shared->Help(); });
  shared->Help();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->all_done.wait(lock, [&] { return shared->done == count; });
}

}  // namespace dfm
