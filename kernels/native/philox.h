// Philox4x32-10 (Salmon et al., SC 2011) and Box-Muller, step for step as seqvae/ops/philox.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace seqvae {

struct Block {
  uint32_t word[4];
};

inline Block philox4x32(int64_t seed, int64_t counter, int64_t offset) {
  uint32_t key0 = static_cast<uint32_t>(seed);
  uint32_t key1 = static_cast<uint32_t>(static_cast<uint64_t>(seed) >> 32);
  uint32_t c0 = static_cast<uint32_t>(counter);
  uint32_t c1 = static_cast<uint32_t>(static_cast<uint64_t>(counter) >> 32);
  uint32_t c2 = static_cast<uint32_t>(offset);
  uint32_t c3 = static_cast<uint32_t>(static_cast<uint64_t>(offset) >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * c0;
    const uint64_t product1 = uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ key0;
    c1 = static_cast<uint32_t>(product1);
    c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ key1;
    c3 = static_cast<uint32_t>(product0);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

inline float word_to_uniform(uint32_t word) {
  const uint32_t folded = word > 0x7FFFFFFFu ? 0xFFFFFFFFu - word : word;
  return static_cast<float>(folded) * 4.6566127342e-10f;
}

inline void pair_to_normal(float u1, float u2, float* normal) {
  const float radius = std::sqrt(-2.0f * std::log(std::max(u1, 1e-7f)));
  const float angle = 6.283185307179586f * u2;
  normal[0] = radius * std::cos(angle);
  normal[1] = radius * std::sin(angle);
}

// Standard normals at flat positions 0, 1, 2, ... of one (seed, offset) stream, four a block.
class NormalStream {
 public:
  NormalStream(int64_t seed, int64_t offset) : seed_(seed), offset_(offset) {}

  float next() {
    const int lane = static_cast<int>(position_ & 3);
    if (lane == 0) {
      const Block block = philox4x32(seed_, position_ >> 2, offset_);
      pair_to_normal(word_to_uniform(block.word[0]), word_to_uniform(block.word[1]), normal_);
      pair_to_normal(word_to_uniform(block.word[2]), word_to_uniform(block.word[3]), normal_ + 2);
    }
    ++position_;
    return normal_[lane];
  }

 private:
  int64_t seed_;
  int64_t offset_;
  int64_t position_ = 0;
  float normal_[4] = {};
};

}  // namespace seqvae
