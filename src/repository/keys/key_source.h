#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "repository/keys/credential.h"

namespace cacs::repository {

/// Where a credential comes from. Never from a command line: those are shown to every user of the machine.
struct KeyFromVariable {
  std::string text;  ///< the value of CACS_PASSPHRASE
};
struct KeyFromPassphraseFile {
  std::filesystem::path path;
};
struct KeyFromKeyFile {
  std::filesystem::path path;
};
struct KeyFromCommand {
  std::vector<std::string> argv;  ///< run as it is; its standard output is the passphrase
};
struct KeyFromTerminal {
  std::filesystem::path terminal = "/dev/tty";
};
using KeySource = std::variant<KeyFromTerminal, KeyFromVariable, KeyFromPassphraseFile, KeyFromKeyFile, KeyFromCommand>;

/// What the environment says, as strings: the caller reads the variables once, at its start.
struct KeyEnvironment {
  std::optional<std::string> passphrase;          ///< CACS_PASSPHRASE
  std::optional<std::string> passphrase_file;     ///< CACS_PASSPHRASE_FILE
  std::optional<std::string> passphrase_command;  ///< CACS_PASSPHRASE_COMMAND
  std::optional<std::string> key_file;            ///< CACS_KEY_FILE
  static KeyEnvironment of_process();
};

/// The one source that is named there, or the terminal when none is; kInvalidArgument for two, and for a command that
/// is none.
Result<KeySource> key_source_from(const KeyEnvironment& environment);

/// The words of a command: separated by blanks, or, to have blanks in them, a JSON array of strings. No shell, no
/// quotes.
Result<std::vector<std::string>> parse_command_words(std::string_view text);

enum class Asking {
  kToUnlock,
  kForNew,  ///< a person is asked twice
};

/// Gets the credential. A line feed at the end of what a file or command gives does not belong to the passphrase. Of a
/// command's environment CACS_PASSPHRASE is left out; it has two minutes, and the terminal if it opens /dev/tty.
/// `question` is what a person is asked ("Passphrase of the repository in /srv/cacs: ").
Result<Credential> get_credential(const KeySource& source, Asking asking, const std::string& question);

/// "the environment variable CACS_PASSPHRASE", "the file /x", for messages.
std::string describe(const KeySource& source);

}  // namespace cacs::repository
