#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/text.h"
#include "tools/checkpoint_commands.h"
#include "tools/checkpoint_options.h"
#include "transfer/transfer.h"

// `cacs checkpoint export` and `import`.
namespace cacs::tools {

namespace {

struct TransferOptions {
  PlaceOptions place;
  std::string checkpoint;
  std::string file;
  KeyOptions seal;
};

constexpr std::string_view kStandard = "-";

/// A file that is being written: removed again unless it was kept.
class NewFile {
 public:
  static Result<NewFile> open(const std::string& path) {
    CACS_ASSIGN(UniqueFd fd, open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
    return NewFile(path, std::move(fd));
  }
  NewFile(NewFile&&) noexcept = default;
  NewFile& operator=(NewFile&&) = delete;
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    if (fd_.valid()) ::unlink(path_.c_str());
  }
  [[nodiscard]] int fd() const { return fd_.get(); }
  Status keep() {
    if (::fsync(fd_.get()) != 0) return errno_error(errno, "sync " + path_);
    const auto folder = std::filesystem::path(path_).parent_path();
    CACS_TRY(sync_directory(folder.empty() ? "." : folder));
    fd_.reset();
    return {};
  }

 private:
  NewFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;
  UniqueFd fd_;
};

transfer::TransferProgress progress_of(cli::Context& context, std::string_view doing) {
  return [&context, doing](std::uint64_t done) {
    context.terminal().status(fmt::format("{} {}", doing, format_size(done)));
  };
}

Status write_archive(cli::Context& context, repository::Repository& repository, const std::string& id, int fd,
                     const repository::Credential* credential) {
  CACS_ASSIGN(const auto archive,
              transfer::ArchiveWriter::begin([fd](std::span<const std::byte> bytes) { return write_full(fd, bytes); },
                                             credential));
  transfer::RecordWriter records([&](std::span<const std::byte> bytes) { return archive->write(bytes); });
  CACS_TRY(transfer::export_records(repository, id, records, progress_of(context, "exporting")));
  CACS_TRY(archive->finish());
  context.terminal().clear_status();
  return {};
}

Result<std::optional<repository::Credential>> seal_credential(const KeyOptions& seal) {
  if (seal.empty()) return std::optional<repository::Credential>();
  CACS_ASSIGN(const auto source, key_source_of(seal));
  CACS_ASSIGN(auto credential, get_credential(source, repository::Asking::kForNew, "Passphrase of the export: "));
  return std::optional(std::move(credential));
}

Result<int> run_export(cli::Context& context, const TransferOptions& options) {
  const bool standard = options.file == kStandard;
  if (standard && ::isatty(STDOUT_FILENO) == 1) {
    return make_error(ErrorCode::kInvalidArgument, "export a checkpoint: standard output is a terminal",
                      "name a file, or pipe it on");
  }
  CACS_ASSIGN(const auto credential, seal_credential(options.seal));
  CACS_ASSIGN(const auto repository, open_repository_of(context, options.place));
  CACS_ASSIGN(const std::string id, find_checkpoint(*repository, options.checkpoint));
  if (!credential) {
    context.terminal().remark(
        "what is exported is not encrypted: it holds all memory and files of the application for whoever has it; "
        "--seal-passphrase-file and --seal-key-file encrypt it");
  }
  const repository::Credential* with = credential ? &*credential : nullptr;
  if (standard) {
    CACS_TRY(write_archive(context, *repository, id, STDOUT_FILENO, with));
    return 0;
  }
  CACS_ASSIGN(NewFile file, NewFile::open(options.file));
  CACS_TRY(write_archive(context, *repository, id, file.fd(), with).context("write " + options.file));
  CACS_TRY(file.keep());
  return 0;
}

Result<int> run_import(cli::Context& context, const TransferOptions& options) {
  UniqueFd opened;
  if (options.file != kStandard) {
    CACS_ASSIGN(opened, open_file(options.file, O_RDONLY));
  }
  const int fd = opened.valid() ? opened.get() : STDIN_FILENO;
  CACS_ASSIGN(const auto archive, transfer::ArchiveReader::open(
                                      [fd](std::span<std::byte> out) { return read_full(fd, out); },
                                      [&options](repository::SlotMethod /*method*/) -> Result<repository::Credential> {
                                        CACS_ASSIGN(const auto source, key_source_of(options.seal));
                                        return get_credential(source, repository::Asking::kToUnlock,
                                                              "Passphrase of the export: ");
                                      }));
  CACS_ASSIGN(const auto repository, open_repository_of(context, options.place));
  transfer::RecordReader records([&](std::span<std::byte> out) { return archive->read(out); });
  CACS_ASSIGN(const auto imported, transfer::import_records(*repository, records, progress_of(context, "importing")));
  context.terminal().clear_status();
  if (context.json()) {
    context.terminal().out(boost::json::serialize(JsonObject{{"checkpoint", imported.checkpoint},
                                                             {"size_bytes", imported.size_bytes},
                                                             {"stored_bytes", imported.stored_bytes}}) +
                           "\n");
  } else {
    context.terminal().out(imported.checkpoint + "\n");
    context.terminal().remark(fmt::format("imported {}, of which {} were new to the repository",
                                          format_size(imported.size_bytes), format_size(imported.stored_bytes)));
  }
  return 0;
}

void add_seal(CLI::App& app, KeyOptions& seal) {
  CLI::Option* file = app.add_option("--seal-passphrase-file", seal.passphrase_file,
                                     "a file with the passphrase of the export, mode 0600")
                          ->type_name("FILE");
  CLI::Option* key_file =
      app.add_option("--seal-key-file", seal.key_file, "the key file of the export")->type_name("FILE");
  file->excludes(key_file);
}

}  // namespace

cli::CommandSpec make_checkpoint_export() {
  auto options = std::make_shared<TransferOptions>();
  return {.name = "checkpoint export",
          .group = "Subcommands",
          .summary = "write a checkpoint to one file that needs nothing else",
          .example = "cacs checkpoint export lj-melt:latest melt.cacs --seal-passphrase-file secret",
          .notes =
              "The file holds memory and files of the application, compressed, each block checked. It is not "
              "encrypted unless a --seal option is given. What is in a checkpoint alone decides on its bytes: "
              "without encryption the same checkpoint gives the same file, from whatever repository.",
          .setup =
              [options](CLI::App& app) {
                add_place_options(app, options->place);
                app.add_option("CHECKPOINT", options->checkpoint, "id, unique beginning of an id, or APP:latest")
                    ->required();
                app.add_option("FILE", options->file, "a new file, or - for standard output")->required();
                add_seal(app, options->seal);
              },
          .run = [options](cli::Context& context) { return run_export(context, *options); }};
}

cli::CommandSpec make_checkpoint_import() {
  auto options = std::make_shared<TransferOptions>();
  return {.name = "checkpoint import",
          .group = "Subcommands",
          .summary = "store an exported checkpoint in a repository",
          .example = "cacs checkpoint import melt.cacs --repo /srv/cacs",
          .notes =
              "It keeps its id, which is printed. What the repository has of it already takes no space. A file that is "
              "cut short or was changed leaves no checkpoint. A sealed one asks for its passphrase if no option names "
              "its secret.",
          .setup =
              [options](CLI::App& app) {
                add_place_options(app, options->place);
                app.add_option("FILE", options->file, "what export wrote, or - for standard input")->required();
                add_seal(app, options->seal);
              },
          .run = [options](cli::Context& context) { return run_import(context, *options); }};
}

}  // namespace cacs::tools
