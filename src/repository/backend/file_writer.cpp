#include "repository/backend/file_writer.h"

#include <algorithm>

#include "base/uuid.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20U;

class FileObjectWriter final : public ObjectWriter {
 public:
  FileObjectWriter(std::shared_ptr<FileSpace> space, std::string name, Overwrite overwrite, std::string temporary,
                   std::unique_ptr<WritableFile> file, std::function<void()> replaced)
      : space_(std::move(space)),
        name_(std::move(name)),
        overwrite_(overwrite),
        file_(std::move(file)),
        replaced_(std::move(replaced)) {
    temporaries_.push_back(std::move(temporary));
  }
  FileObjectWriter(const FileObjectWriter&) = delete;
  FileObjectWriter& operator=(const FileObjectWriter&) = delete;

  ~FileObjectWriter() override {
    // Nobody can be told of a failure here; what stays is a stale temporary, and removed as such.
    for (const auto& temporary : temporaries_) static_cast<void>(space_->storage().remove(temporary).ok());
  }

  Status append(std::span<const std::byte> data) override {
    if (state_ != State::kWriting) return over("append to");
    while (!data.empty()) {
      if (buffer_.empty() && data.size() >= kBufferBytes) return write(data);
      const std::size_t count = std::min(data.size(), kBufferBytes - buffer_.size());
      buffer_.insert(buffer_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(count));
      data = data.subspan(count);
      if (buffer_.size() == kBufferBytes) CACS_TRY(flush());
    }
    return {};
  }

  Status commit() override {
    if (state_ != State::kWriting) return over("commit");
    CACS_TRY(flush());
    state_ = State::kEnded;
    if (space_->durable()) CACS_TRY(file_->sync());
    auto status = overwrite_ == Overwrite::kNo ? publish_new() : publish_over();
    replaced_();
    return std::move(status).context("commit " + name_ + " in " + space_->storage().describe());
  }

 private:
  enum class State { kWriting, kEnded };

  [[nodiscard]] Error over(std::string_view doing) const {
    return make_error(ErrorCode::kInternal, std::string(doing) + " " + name_ + ": its writer has ended or failed");
  }

  Status write(std::span<const std::byte> data) {
    auto status = file_->append(data);
    // A part may have been written, so that going on would leave a hole or a repetition.
    if (!status) state_ = State::kEnded;
    return status;
  }

  Status flush() {
    if (buffer_.empty()) return {};
    CACS_TRY(write(buffer_));
    buffer_.clear();
    return {};
  }

  Status publish_new() {
    Storage& storage = space_->storage();
    auto status = storage.link(temporaries_.front(), name_);
    if (!status && status.error().code == ErrorCode::kUnsupported) {
      status = storage.rename_new(temporaries_.front(), name_);
      if (status) temporaries_.clear();
    }
    if (!status && status.error().code == ErrorCode::kConflict) {
      // Whoever is refused may rely on what he found.
      if (space_->durable()) CACS_TRY(space_->sync_beside(name_));
      return make_error(ErrorCode::kConflict, "an object of that name exists already");
    }
    if (!status) return lost_temporary(status.error());
    return make_durable();
  }

  Status publish_over() {
    Storage& storage = space_->storage();
    if (space_->durable()) {
      std::string mark = space_->new_temporary_name(name_);
      const auto marked = storage.link(temporaries_.front(), mark);
      // Without hard links it goes without the mark, and so without its promise (file_backend.h).
      if (!marked && marked.error().code != ErrorCode::kUnsupported) return lost_temporary(marked.error());
      if (marked) temporaries_.push_back(std::move(mark));
    }
    const auto renamed = storage.rename(temporaries_.front(), name_);
    if (!renamed) return lost_temporary(renamed.error());
    temporaries_.erase(temporaries_.begin());
    return make_durable();
  }

  /// After this the object has one name.
  Status make_durable() {
    if (space_->durable()) {
      auto synced = space_->sync_beside(name_);
      if (!synced) {
        temporaries_.clear();  // they stay, as the sign that it may be lost
        return synced.error().with_context("it is there, but may be lost when the power is");
      }
    }
    for (const auto& temporary : temporaries_) static_cast<void>(space_->storage().remove(temporary).ok());
    temporaries_.clear();
    return {};
  }

  static Error lost_temporary(Error error) {
    if (error.code != ErrorCode::kNotFound) return error;
    error.code = ErrorCode::kUnavailable;
    return error.with_context("its temporary file was removed");
  }

  std::shared_ptr<FileSpace> space_;
  std::string name_;
  Overwrite overwrite_;
  std::unique_ptr<WritableFile> file_;  ///< open to the end: its lock says that the temporaries have an owner
  std::function<void()> replaced_;
  std::vector<std::string> temporaries_;  ///< names to be removed
  std::vector<std::byte> buffer_;
  State state_ = State::kWriting;
};

constexpr std::string_view kPrefix = "tmp.";

}  // namespace

std::string directory_of(const std::string& name) {
  const auto slash = name.rfind('/');
  return slash == std::string::npos ? std::string() : name.substr(0, slash);
}

bool is_temporary_name(std::string_view name) {
  constexpr std::size_t kUuid = 36;
  return name.size() == kPrefix.size() + kUuid + 1 + kUuid + 1 && name.starts_with(kPrefix) && name.ends_with('~') &&
         is_uuid(name.substr(kPrefix.size(), kUuid)) && name[kPrefix.size() + kUuid] == '.' &&
         is_uuid(name.substr(kPrefix.size() + kUuid + 1, kUuid));
}

FileSpace::FileSpace(std::unique_ptr<Storage> storage, Durability durability)
    : storage_(std::move(storage)), durability_(durability), boot_id_(storage_->boot_id()) {}

std::string FileSpace::new_temporary_name(const std::string& name) const {
  std::string directory = directory_of(name);
  if (!directory.empty()) directory += '/';
  return directory.append(kPrefix).append(boot_id_).append(1, '.').append(new_uuid()).append(1, '~');
}

Result<std::unique_ptr<WritableFile>> FileSpace::create_temporary(const std::string& name, std::string& temporary) {
  const std::string directory = directory_of(name);
  for (bool again = true;; again = false) {
    CACS_TRY(ensure_directory(directory));
    temporary = new_temporary_name(name);
    auto file = storage_->create(temporary);
    if (file || file.error().code != ErrorCode::kNotFound || !again) return file;
    // Somebody removed an empty directory that we knew.
    const std::scoped_lock lock(mutex_);
    known_directories_.clear();
  }
}

Status FileSpace::sync_beside(const std::string& name) { return storage_->sync_directory(directory_of(name)); }

Status FileSpace::ensure_directory(const std::string& directory) {
  {
    const std::scoped_lock lock(mutex_);
    if (known_directories_.contains(directory)) return {};
  }
  if (!directory.empty()) CACS_TRY(ensure_directory(directory_of(directory)));
  CACS_TRY(storage_->make_directory(directory));
  // Also when it was there: whoever made it may not have come to this.
  if (!directory.empty() && durable()) CACS_TRY(sync_beside(directory));
  const std::scoped_lock lock(mutex_);
  known_directories_.insert(directory);
  return {};
}

std::unique_ptr<ObjectWriter> make_file_writer(std::shared_ptr<FileSpace> space, std::string name, Overwrite overwrite,
                                               std::string temporary, std::unique_ptr<WritableFile> file,
                                               std::function<void()> replaced) {
  return std::make_unique<FileObjectWriter>(std::move(space), std::move(name), overwrite, std::move(temporary),
                                            std::move(file), std::move(replaced));
}

}  // namespace cacs::repository
