#pragma once

#include <map>
#include <string>
#include <vector>

#include "pod/spec.h"

namespace cacs::pod {

/// What lets `mpirun` and `mpiexec`, as users write them, find the application's pods and start processes there: Open
/// MPI (4 and 5), MPICH and what else is built on Hydra or takes a command like rsh. The launcher is cacs-rsh
/// (init/remote.h); the list of hosts has as many slots for each pod as it has processors. Nothing is needed in the
/// user's command, and what the user sets in `env` counts more.
std::map<std::string, std::string> mpi_environment(const PodSpec& spec);

/// The files that the environment names.
std::vector<FileSpec> mpi_files(const PodSpec& spec);

}  // namespace cacs::pod
