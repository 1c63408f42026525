#include "pod/mpi.h"

#include <algorithm>
#include <cmath>

#include "init/protocol.h"

namespace cacs::pod {

namespace {

constexpr const char* kShell = CACS_POD_DIR "/cacs-rsh";
constexpr const char* kOpenMpiHosts = CACS_POD_DIR "/mpi/openmpi.hosts";
constexpr const char* kHydraHosts = CACS_POD_DIR "/mpi/hydra.hosts";

int slots(const PodSpec& spec) { return std::max(1, static_cast<int>(std::ceil(spec.cpus))); }

std::vector<std::string> host_names(const PodSpec& spec) {
  std::vector<std::string> names;
  for (const auto& host : spec.hosts) names.push_back(host.name);
  if (names.empty()) names.push_back(spec.pod);
  return names;
}

}  // namespace

std::map<std::string, std::string> mpi_environment(const PodSpec& spec) {
  std::map<std::string, std::string> env{
      // Open MPI 4. A pod is the job's own: being root in it endangers nobody, and more processes than processors are
      // for the user to decide on. TCP and shared memory only: what talks to a device cannot be saved.
      {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
      {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
      {"OMPI_MCA_orte_default_hostfile", kOpenMpiHosts},
      {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
      {"OMPI_MCA_pml", "ob1"},
      {"OMPI_MCA_btl", "tcp,self,vader"},
      {"OMPI_MCA_mpi_yield_when_idle", "1"},
      // Open MPI 5 (PRRTE).
      {"PRTE_ALLOW_RUN_AS_ROOT", "1"},
      {"PRTE_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
      {"PRTE_MCA_prte_default_hostfile", kOpenMpiHosts},
      {"PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"},
      // Hydra: MPICH, MVAPICH, Intel MPI. UCX as Debian's MPICH is built with it.
      {"HYDRA_HOST_FILE", kHydraHosts},
      {"UCX_TLS", "tcp,sysv,posix,self"},
  };
  if (!spec.connected()) return env;
  env.merge(std::map<std::string, std::string>{
      {"OMPI_MCA_plm", "rsh"},
      {"OMPI_MCA_plm_rsh_agent", kShell},
      {"OMPI_MCA_plm_rsh_no_tree_spawn", "1"},
      {"OMPI_MCA_btl_tcp_if_include", "eth0"},
      {"OMPI_MCA_oob_tcp_if_include", "eth0"},
      {"PRTE_MCA_plm", "ssh"},
      {"PRTE_MCA_plm_ssh_agent", kShell},
      {"PRTE_MCA_plm_ssh_no_tree_spawn", "1"},
      {"PRTE_MCA_prte_if_include", "eth0"},
      {"HYDRA_LAUNCHER", "ssh"},
      {"HYDRA_LAUNCHER_EXEC", kShell},
      {"HYDRA_IFACE", "eth0"},
      {"UCX_NET_DEVICES", "eth0"},
  });
  return env;
}

std::vector<FileSpec> mpi_files(const PodSpec& spec) {
  std::string open_mpi;
  std::string hydra;
  const std::string count = std::to_string(slots(spec));
  for (const auto& name : host_names(spec)) {
    open_mpi += name + " slots=" + count + "\n";
    hydra += name + ":" + count + "\n";
  }
  return {{.path = kOpenMpiHosts, .content = std::move(open_mpi), .mode = 0644},
          {.path = kHydraHosts, .content = std::move(hydra), .mode = 0644}};
}

}  // namespace cacs::pod
