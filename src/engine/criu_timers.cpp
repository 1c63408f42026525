#include "engine/criu_timers.h"

#include <fcntl.h>
#include <sys/timerfd.h>

#include <bit>
#include <cstring>
#include <ctime>

#include "base/io.h"
#include "engine/criu_image.pb.h"

namespace cacs::engine {

namespace {

// The first words of the image, little-endian: "an image of common form" and "open files".
constexpr std::uint32_t kCommonMagic = 0x54564319;
constexpr std::uint32_t kFilesMagic = 0x56303138;
constexpr std::size_t kWord = sizeof(std::uint32_t);
constexpr std::size_t kMaxImageBytes = std::size_t{1} << 30U;
// Fields of ours in a file's entry are few and small: what is longer is not one.
constexpr std::uint32_t kMaxEntryBytes = 1U << 20U;

static_assert(std::endian::native == std::endian::little);

std::uint32_t word_at(std::string_view image, std::size_t offset) {
  std::uint32_t value = 0;
  std::memcpy(&value, image.data() + offset, kWord);
  return value;
}

void append_word(std::string& out, std::uint32_t value) { out.append(reinterpret_cast<const char*>(&value), kWord); }

Error corrupt(const std::string& what) {
  return make_error(ErrorCode::kCorrupt, "the engine's image of open files " + what,
                    "this engine is not one CACS was tried with; `cacs check` says which are");
}

bool wall_clock(std::uint32_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM; }

/// Whether anything had to change.
bool mend(image::Timerfd& timer) {
  const bool absolute = (timer.settime_flags() & TFD_TIMER_ABSTIME) != 0;
  const bool periodic = timer.interval_sec() != 0 || timer.interval_nsec() != 0;
  const bool nothing_left = timer.value_sec() == 0 && timer.value_nsec() == 0;
  bool changed = false;
  if (nothing_left && periodic &&
      timer.ticks() > 0) {  // switched off it would have no ticks: setting a timer clears them
    timer.set_value_sec(timer.interval_sec());
    timer.set_value_nsec(timer.interval_nsec());
    changed = true;
  }
  if (!absolute) return changed;
  // CRIU adds the present time to the time left of an absolute timer, in whole seconds. Of a clock that only runs, and
  // of a timer that is off, the time left says all by itself.
  if (!wall_clock(timer.clock_id()) || (nothing_left && !changed)) {
    timer.set_settime_flags(timer.settime_flags() & ~static_cast<std::uint32_t>(TFD_TIMER_ABSTIME));
  } else {
    timer.set_value_sec(timer.value_sec() + 1);
  }
  return true;
}

}  // namespace

Result<std::string> mend_timers(std::string_view image) {
  if (image.size() < 2 * kWord || word_at(image, 0) != kCommonMagic || word_at(image, kWord) != kFilesMagic)
    return corrupt("does not begin as one");
  std::string out(image.substr(0, 2 * kWord));
  out.reserve(image.size());
  for (std::size_t at = 2 * kWord; at < image.size();) {
    if (image.size() - at < kWord) return corrupt("ends in the middle of an entry");
    const std::uint32_t size = word_at(image, at);
    at += kWord;
    if (size > kMaxEntryBytes || size > image.size() - at) return corrupt("has an entry that is longer than it");
    std::string entry(image.substr(at, size));
    at += size;
    image::File file;
    if (!file.ParseFromString(entry)) return corrupt("has an entry that cannot be read");
    if (file.has_timerfd() && mend(*file.mutable_timerfd())) entry = file.SerializeAsString();
    append_word(out, static_cast<std::uint32_t>(entry.size()));
    out += entry;
  }
  return out;
}

Status mend_images(const std::filesystem::path& images) {
  const auto path = images / "files.img";
  CACS_ASSIGN(const std::string image, read_text_file(path, kMaxImageBytes));
  auto mended = mend_timers(image);
  if (!mended) return mended.error().with_context(path.string());
  if (*mended == image) return {};
  // In place: until it is stored the dump has no worth that a crash could take.
  CACS_ASSIGN(const UniqueFd fd, open_file(path, O_WRONLY | O_TRUNC));
  return write_full(fd.get(), *mended);
}

}  // namespace cacs::engine
