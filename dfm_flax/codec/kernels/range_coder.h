// A range coder of 32-bit words: the state has 64 bits, frequencies add up to 2^24. The words are
// those of `stream.queue` of the package constriction at its defaults.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dfm {

constexpr int kPrecision = 24;
constexpr uint64_t kTotal = uint64_t{1} << kPrecision;
constexpr uint64_t kWord = uint64_t{1} << 32;

// Writes at most `capacity` words; what lies beyond is dropped, and `overflown` says so.
class RangeEncoder {
 public:
  RangeEncoder(uint32_t* words, size_t capacity) : words_(words), capacity_(capacity) {}

  // An event of the frequencies [low, high), 0 <= low < high <= 2^24.
  void Encode(uint32_t low, uint32_t high) {
    const uint64_t scale = range_ >> kPrecision;
    Add(scale * low);
    range_ = scale * (high - low);
    if (range_ >= kWord) return;
    Write(static_cast<uint32_t>(low_ >> 32));
    low_ <<= 32;
    range_ <<= 32;
  }

  // The least words with which a decoder that reads zeros after them, or anything, stays in the
  // range. Returns the number of all words.
  size_t Finish() {
    if (range_ == ~uint64_t{0}) return size_;  // nothing was encoded
    const uint32_t end = static_cast<uint32_t>((low_ + range_) >> 32);
    Add(kWord - 1);
    const uint32_t last = static_cast<uint32_t>(low_ >> 32);
    Write(last);
    if (end == last) Write(0);
    return size_;
  }

  bool overflown() const { return overflown_; }

 private:
  // Raises the low end; a carry runs back over written words.
  void Add(uint64_t amount) {
    low_ += amount;
    if (low_ >= amount) return;
    for (size_t i = size_; i > 0 && ++words_[i - 1] == 0; --i) {
    }
  }

  void Write(uint32_t word) {
    if (size_ == capacity_) {
      overflown_ = true;
    } else {
      words_[size_++] = word;
    }
  }

  uint32_t* words_;
  size_t capacity_;
  size_t size_ = 0;
  uint64_t low_ = 0;
  uint64_t range_ = ~uint64_t{0};
  bool overflown_ = false;
};

// Reads zeros after the last word.
class RangeDecoder {
 public:
  RangeDecoder(const uint32_t* words, size_t size) : words_(words), size_(size) {
    offset_ = Read() << 32;
    offset_ |= Read();
  }

  // Where in [0, 2^24) the next event lies; not below 2^24 if no event leads to these words.
  uint64_t Peek() const { return offset_ / (range_ >> kPrecision); }

  // Takes the event of the frequencies [low, high) that Peek() lies in.
  void Take(uint32_t low, uint32_t high) {
    const uint64_t scale = range_ >> kPrecision;
    offset_ -= scale * low;
    range_ = scale * (high - low);
    if (range_ >= kWord) return;
    offset_ = offset_ << 32 | Read();
    range_ <<= 32;
  }

  // Whether the words may end here: false if there certainly are more than the events need.
  bool MayEnd() const {
    return next_ == size_ && (range_ == ~uint64_t{0} || offset_ < 2 * kWord - 1);
  }

 private:
  uint64_t Read() { return next_ < size_ ? words_[next_++] : 0; }

  const uint32_t* words_;
  size_t size_;
  size_t next_ = 0;
  uint64_t range_ = ~uint64_t{0};
  uint64_t offset_ = 0;  // of the words from the low end of the range
};

}  // namespace dfm
