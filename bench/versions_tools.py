"""The programs that versions_bench.py compares: ours, and others as their documents recommend for a local repository.

Each is started anew for every step, as a user would, with encryption on where there is such a thing, and with its caches
beside the repository instead of at home. Of the modes that encrypt each peer has its fastest (measured with 512 MiB, 5 %
changed): borg repokey-blake2 with its default lz4, restic's only one in the format that compresses; casync has none.
Ours has its key from a file, as an agent; restic and borg derive theirs from a passphrase, as their users do.
At the end of a step ours, restic and borg have synced what they wrote, casync has not. Restores sync with none.
"""
import os
import shutil

from harness import ROOT

BINARIES = os.path.join(ROOT, "build/release/bench")


class Tool:
    """Paths are below `directory`, from which every command is run; the images are in its folder `image`."""
    program = ""
    peer = True    # the bars are set by these
    restored = ""  # where below the folder that is restored to the images are then

    def __init__(self, directory):
        self.directory = directory
        self.repository = os.path.join(directory, "repository-" + self.name)
        self.private = os.path.join(directory, "private-" + self.name)
        self.environment = dict(os.environ)

    @property
    def name(self):
        return type(self).__name__.lower().replace("_", "-")

    def init(self):
        """The command that makes the repository, or none."""

    def ingest(self, version):
        raise NotImplementedError

    def restore(self, version, target):
        """Into `target`, which is there and empty."""
        raise NotImplementedError

    def restore_directory(self, _target):
        """Where to run the restore."""
        return self.directory

    def stored(self):
        """Bytes of all files of the repository."""
        return sum(os.lstat(os.path.join(folder, name)).st_size
                   for folder, _, names in os.walk(self.repository) for name in names)

    def remove(self):
        for path in (self.repository, self.private):
            shutil.rmtree(path, ignore_errors=True)


class Cacs(Tool):
    program = os.path.join(BINARIES, "versions_tool")
    peer = False

    def init(self):
        return [self.program, "init", self.repository]

    def ingest(self, version):
        return [self.program, "ingest", self.repository, "image"]

    def restore(self, version, target):
        return [self.program, "restore", self.repository, "latest", target]

    def remove(self):
        super().remove()
        if os.path.exists(self.repository + ".key"):
            os.remove(self.repository + ".key")


class Restic(Tool):
    program = "restic"
    restored = "image"

    def __init__(self, directory):
        super().__init__(directory)
        self.environment.update(RESTIC_PASSWORD="bench", RESTIC_CACHE_DIR=self.private)

    def init(self):
        return ["restic", "init", "--quiet", "--repository-version", "2", "--repo", self.repository]

    def ingest(self, version):
        return ["restic", "backup", "--quiet", "--repo", self.repository, "image"]

    def restore(self, version, target):
        return ["restic", "restore", "--quiet", "--repo", self.repository, "--target", target, "latest"]


class Borg(Tool):
    program = "borg"
    restored = "image"
    options = []

    def __init__(self, directory):
        super().__init__(directory)
        self.environment.update(BORG_PASSPHRASE="bench", BORG_BASE_DIR=self.private)

    def init(self):
        return ["borg", "init", "--encryption", "repokey-blake2", self.repository]

    def ingest(self, version):
        return ["borg", "create", *self.options, f"{self.repository}::v{version}", "image"]

    def restore(self, version, target):
        return ["borg", "extract", f"{self.repository}::v{version}"]

    def restore_directory(self, target):
        return target


class Borg_Fixed(Borg):
    """borg with the chunker that its documents name for disk images, at the size of a page: not what a user of process
    images would find by himself, and told beside the bars."""
    peer = False
    options = ["--chunker-params", "fixed,4096"]


class Casync(Tool):
    program = "casync"

    def _command(self, verb, version, path):
        return ["casync", verb, "--store=" + os.path.join(self.repository, "store.castr"),
                os.path.join(self.repository, f"v{version}.caidx"), path]

    def init(self):
        os.mkdir(self.repository)

    def ingest(self, version):
        return self._command("make", version, "image")

    def restore(self, version, target):
        return self._command("extract", version, target)


TOOLS = {"cacs": Cacs, "restic": Restic, "borg": Borg, "casync": Casync, "borg-fixed": Borg_Fixed}
