#include "engine/criu_timers.h"

#include <fcntl.h>
#include <sys/timerfd.h>

#include <ctime>

#include "base/io.h"
#include "engine/criu_image.h"
#include "engine/criu_image.pb.h"

namespace cacs::engine {

namespace {

constexpr std::size_t kMaxImageBytes = std::size_t{1} << 30U;

void append_entry(std::string& out, std::string_view entry) {
  const auto size = static_cast<std::uint32_t>(entry.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof size);
  out += entry;
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
  CACS_ASSIGN(auto reader, ImageReader::open(image, kFilesMagic, "the engine's image of open files"));
  std::string out(image.substr(0, kImageHeaderBytes));
  out.reserve(image.size());
  while (true) {
    CACS_ASSIGN(const auto entry, reader.next());
    if (!entry) return out;
    image::File file;
    if (!file.ParseFromArray(entry->data(), static_cast<int>(entry->size())))
      return reader.corrupt("has an entry that cannot be read");
    const bool changed = file.has_timerfd() && mend(*file.mutable_timerfd());
    append_entry(out, changed ? file.SerializeAsString() : std::string(*entry));
  }
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
