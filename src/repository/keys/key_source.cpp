#include "repository/keys/key_source.h"

#include <openssl/crypto.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "base/io.h"
#include "base/json.h"
#include "base/process.h"
#include "base/text.h"
#include "repository/keys/key_file.h"
#include "repository/keys/prompt.h"

namespace cacs::repository {

namespace {

constexpr std::chrono::minutes kCommandLimit{2};
constexpr std::size_t kMaxCommandBytes = 4096;
// The passphrase and the line's end.
constexpr std::size_t kMaxTextBytes = Passphrase::kMaxBytes + 2;

std::optional<std::string> variable(const char* name) {
  const char* const value = ::getenv(name);  // NOLINT(concurrency-mt-unsafe): we never call setenv
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

/// One line's end, as editors and `echo` leave it.
std::string_view without_line_end(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

Result<Credential> credential_of(Result<Passphrase> passphrase) {
  if (!passphrase) return passphrase.error();
  return Credential(std::move(passphrase).value());
}

/// What this process has, but for the passphrase itself.
std::vector<std::string> environment_of_command() {
  std::vector<std::string> kept;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("CACS_PASSPHRASE=")) kept.emplace_back(*entry);
  }
  return kept;
}

Result<Passphrase> passphrase_of_command(const KeyFromCommand& source) {
  if (source.argv.empty())
    return make_error(ErrorCode::kInvalidArgument, "the command that gives the passphrase is empty");
  const Command command{.argv = source.argv, .env = environment_of_command()};
  CACS_ASSIGN(Captured captured, run_command(command, kCommandLimit));
  const SecretBytes out(as_bytes(captured.out));
  OPENSSL_cleanse(captured.out.data(), captured.out.size());
  const std::string& name = source.argv.front();
  if (!captured.status.success()) {
    return make_error(ErrorCode::kUnavailable,
                      name + " ended with " + captured.status.to_string() + ": " + printable(trim(captured.err)),
                      "run it by hand to see what it wants");
  }
  if (out.bytes().size() > kMaxTextBytes)
    return make_error(ErrorCode::kTooLarge, name + " printed more than a passphrase", "run it by hand to see what");
  return Passphrase::from(without_line_end(out.text()));
}

/// Gets from each kind of source.
struct Getter {
  Asking asking;
  const std::string& question;

  Result<Credential> operator()(const KeyFromVariable& source) const {
    return credential_of(Passphrase::from(source.text));
  }
  Result<Credential> operator()(const KeyFromPassphraseFile& source) const {
    CACS_ASSIGN(const SecretBytes text, read_secret_file(source.path, kMaxTextBytes));
    return credential_of(Passphrase::from(without_line_end(text.text())));
  }
  Result<Credential> operator()(const KeyFromKeyFile& source) const {
    CACS_ASSIGN(const SecretKey key, read_key_file(source.path));
    return Credential(key);
  }
  Result<Credential> operator()(const KeyFromCommand& source) const {
    return credential_of(passphrase_of_command(source));
  }
  Result<Credential> operator()(const KeyFromTerminal& source) const {
    return credential_of(ask({.question = question,
                              .again = asking == Asking::kForNew ? "The same once more: " : "",
                              .terminal = source.terminal}));
  }
};

struct Describer {
  std::string operator()(const KeyFromVariable&) const { return "the environment variable CACS_PASSPHRASE"; }
  std::string operator()(const KeyFromPassphraseFile& source) const { return "the file " + source.path.string(); }
  std::string operator()(const KeyFromKeyFile& source) const { return "the key file " + source.path.string(); }
  std::string operator()(const KeyFromCommand& source) const {
    return "the command " + (source.argv.empty() ? std::string() : printable(source.argv.front()));
  }
  std::string operator()(const KeyFromTerminal& source) const { return "the terminal " + source.terminal.string(); }
};

}  // namespace

KeyEnvironment KeyEnvironment::of_process() {
  return {.passphrase = variable("CACS_PASSPHRASE"),
          .passphrase_file = variable("CACS_PASSPHRASE_FILE"),
          .passphrase_command = variable("CACS_PASSPHRASE_COMMAND"),
          .key_file = variable("CACS_KEY_FILE")};
}

Result<KeySource> key_source_from(const KeyEnvironment& environment) {
  const std::array<bool, 4> named{environment.passphrase.has_value(), environment.passphrase_file.has_value(),
                                  environment.passphrase_command.has_value(), environment.key_file.has_value()};
  if (std::ranges::count(named, true) > 1) {
    return make_error(ErrorCode::kInvalidArgument,
                      "the environment names more than one source of the key: only one of CACS_PASSPHRASE, "
                      "CACS_PASSPHRASE_FILE, CACS_PASSPHRASE_COMMAND and CACS_KEY_FILE may be set",
                      "unset the others");
  }
  if (environment.passphrase) return KeySource(KeyFromVariable{*environment.passphrase});
  if (environment.passphrase_file) return KeySource(KeyFromPassphraseFile{*environment.passphrase_file});
  if (environment.key_file) return KeySource(KeyFromKeyFile{*environment.key_file});
  if (!environment.passphrase_command) return KeySource(KeyFromTerminal{});
  CACS_ASSIGN(std::vector<std::string> argv, parse_command_words(*environment.passphrase_command));
  return KeySource(KeyFromCommand{std::move(argv)});
}

Result<std::vector<std::string>> parse_command_words(std::string_view text) {
  const Error bad =
      make_error(ErrorCode::kInvalidArgument,
                 "CACS_PASSPHRASE_COMMAND is neither words separated by blanks nor a JSON array of strings",
                 R"(for example: pass show cacs, or ["pass", "show", "my cacs"])");
  std::vector<std::string> words;
  if (trim(text).starts_with('[')) {
    auto json = parse_json(trim(text), "CACS_PASSPHRASE_COMMAND", kMaxCommandBytes);
    if (!json || !json->is_array()) return bad;
    for (const Json& word : json->as_array()) {
      if (!word.is_string()) return bad;
      words.emplace_back(word.as_string());
    }
  } else {
    for (const std::string& part : split(text, ' ')) {
      if (!trim(part).empty()) words.emplace_back(trim(part));
    }
  }
  if (words.empty() || words.front().empty()) return bad;
  return words;
}

Result<Credential> get_credential(const KeySource& source, Asking asking, const std::string& question) {
  return std::visit(Getter{asking, question}, source).context("get the key from " + describe(source));
}

std::string describe(const KeySource& source) { return std::visit(Describer{}, source); }

}  // namespace cacs::repository
