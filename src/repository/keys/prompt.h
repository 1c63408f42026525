#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "repository/keys/credential.h"

namespace cacs::repository {

struct Prompt {
  std::string question = "Passphrase: ";
  /// Asked a second time, and refused when the two differ, when this is not empty.
  std::string again;
  std::filesystem::path terminal = "/dev/tty";
};

/// Asks a person at the terminal, without showing what is typed. Backspace and Ctrl-U mend; Ctrl-C and Ctrl-D give up
/// (kAborted). A signal that would end the program is held back until the terminal is as it was. kNotFound when there
/// is no terminal. The calling thread waits as long as the person takes.
Result<Passphrase> ask(const Prompt& prompt);

}  // namespace cacs::repository
