#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "base/io.h"
#include "base/process.h"
#include "base/text.h"

namespace cacs::e2e {

/// LAMMPS' Lennard-Jones melt, of so many steps.
inline std::string melt_input(int steps) {
  return "units lj\natom_style atomic\nlattice fcc 0.8442\nregion box block 0 8 0 8 0 8\ncreate_box 1 box\n"
         "create_atoms 1 box\nmass 1 1.0\nvelocity all create 3.0 87287\npair_style lj/cut 2.5\npair_coeff 1 1 1.0 1.0 "
         "2.5\nneighbor 0.3 bin\nneigh_modify every 20 delay 0 check no\nfix 1 all nve\nthermo 100\n"
         "thermo_modify flush yes\nrun " +
         std::to_string(steps) + "\n";
}

/// The same in blocks of 100 steps with a pause after each, so that it takes a time that does not hang on the machine.
inline std::string melt_in_blocks(int blocks, const std::string& pause) {
  std::string text = melt_input(0);
  text.erase(text.rfind("run "));
  return text + "variable i loop " + std::to_string(blocks) + "\nlabel again\nrun 100\nshell sleep " + pause +
         "\nnext i\njump SELF again\n";
}

/// What it says in blocks without pauses, over 4 ranks on this machine, undisturbed; `input` is written for it.
inline Result<std::string> run_melt(const std::filesystem::path& input, int blocks) {
  CACS_TRY(write_file_durably(input, melt_in_blocks(blocks, "0")));
  CACS_ASSIGN(const auto run,
              run_command({.argv = {"env", "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                                    "OMP_NUM_THREADS=1", "mpirun", "--oversubscribe", "--mca", "btl", "tcp,self", "-np",
                                    "4", "lmp", "-in", input.string(), "-log", "none"},
                           .cwd = "/tmp"},
                          std::chrono::seconds(120)));
  if (run.status.success()) return run.out;
  return make_error(ErrorCode::kIo, "LAMMPS " + run.status.to_string() + ": " + run.err);
}

/// The lines of its output that are its result.
inline std::string thermo(const std::string& output) {
  std::string lines;
  for (const auto& line : split(output, '\n')) {
    const auto words = split(trim(line), ' ');
    if (!words.empty() && !words[0].empty() && words[0].find_first_not_of("0123456789") == std::string::npos) {
      lines += line + "\n";
    }
  }
  return lines;
}

}  // namespace cacs::e2e
