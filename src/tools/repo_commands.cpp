#include "tools/repo_commands.h"

#include <CLI/CLI.hpp>

#include "tools/place_options.h"
#include "tools/repo_actions.h"

namespace cacs::tools {

namespace {

using cli::CommandSpec;

void add_other_keys(CLI::App& app, KeyOptions& key, const std::string& prefix, const std::string& whose) {
  CLI::Option* file = app.add_option("--" + prefix + "-passphrase-file,--" + prefix + "-password-file",
                                     key.passphrase_file, "a file with the passphrase of the " + whose)
                          ->type_name("FILE");
  CLI::Option* key_file =
      app.add_option("--" + prefix + "-key-file", key.key_file, "a key file for the " + whose)->type_name("FILE");
  file->excludes(key_file);
}

void add_alone(CLI::App& app, PlaceOptions& place) {
  app.add_flag("--alone", place.alone,
               "nobody else writes or copies to it now: for copies in buckets, which have no lock");
}

/// -r and how it is unlocked, with the place as an argument too.
void add_place_and_argument(CLI::App& app, PlaceOptions& place) {
  add_place_options(app, place);
  app.add_option("LOCATION", place.location, "the same as --repo")->excludes("--repo");
}

CommandSpec make_parent() {
  return {.name = "repo",
          .group = "Stored",
          .summary = "make and look after repositories of checkpoints",
          .example = "cacs repo stat",
          .notes =
              "A repository is a directory (/srv/cacs), or s3://BUCKET/PREFIX?endpoint=https://HOST&region=R with "
              "the credentials that AWS's own tools take. Without --repo and CACS_REPOSITORY it is that of this "
              "machine's node: of the state in --state or CACS_STATE, else /var/lib/cacs, else of your own "
              "server. It is unlocked by what the options name, else CACS_PASSPHRASE, CACS_PASSPHRASE_FILE, "
              "CACS_PASSPHRASE_COMMAND or CACS_KEY_FILE (one of them), else the key file beside it "
              "(DIRECTORY.key), else the terminal is asked.",
          .setup = {},
          .run = {}};
}

CommandSpec make_init() {
  auto options = std::make_shared<InitOptions>();
  return {.name = "repo init",
          .group = "Subcommands",
          .summary = "make a repository",
          .example = "cacs repo init /srv/cacs",
          .notes = "A key file that is not there is made. Who loses passphrase and key file loses what is stored.",
          .setup =
              [options](CLI::App& app) {
                add_place_and_argument(app, options->place);
                app.add_option("--sealing", options->sealing,
                               "how it is encrypted; chacha20-poly1305 for processors without AES")
                    ->type_name("SEALING")
                    ->check(CLI::IsMember({"aes-256-gcm", "chacha20-poly1305", "none"}));
                app.add_flag("--shared", options->shared,
                             "several machines write to it, as to a directory of NFS; a bucket is always so");
              },
          .run = [options](cli::Context& context) { return run_repo_init(context, *options); }};
}

CommandSpec make_stat() {
  auto options = std::make_shared<PlaceOptions>();
  return {.name = "repo stat",
          .group = "Subcommands",
          .summary = "show what is in a repository: checkpoints, sizes",
          .example = "cacs repo stat /srv/cacs",
          .setup = [options](CLI::App& app) { add_place_and_argument(app, *options); },
          .run = [options](cli::Context& context) { return run_repo_stat(context, *options); }};
}

CommandSpec make_check() {
  auto options = std::make_shared<CheckOptions>();
  return {.name = "repo check",
          .group = "Subcommands",
          .summary = "check whether every checkpoint of a repository is whole",
          .example = "cacs repo check --read-data /srv/cacs",
          .notes =
              "Ends with 1 when something is damaged, and names it: manifest, pack, slot. What --read-data finds "
              "damaged is put into quarantine: the next checkpoint stores it anew. Checkpoints may be taken "
              "meanwhile.",
          .setup =
              [options](CLI::App& app) {
                add_place_and_argument(app, options->place);
                app.add_flag("--read-data", options->read_data, "read and verify all that is stored");
              },
          .run = [options](cli::Context& context) { return run_repo_check(context, *options); }};
}

CommandSpec make_gc() {
  auto options = std::make_shared<GcOptions>();
  return {.name = "repo gc",
          .group = "Subcommands",
          .summary = "give back the space of what no checkpoint needs",
          .example = "cacs repo gc --max-garbage 5% /srv/cacs",
          .notes =
              "Waits for checkpoints that are being stored; further ones wait for it. A node does this by itself "
              "after deletions. Where several machines write (--shared, buckets) nobody waits: what an open session "
              "may need stays for a later collection. In the remote level of a node its agent collects: a bucket that "
              "is one, or was made by copy, takes --alone.",
          .setup =
              [options](CLI::App& app) {
                add_place_and_argument(app, options->place);
                app.add_option("--max-garbage,--max-unused", options->max_garbage,
                               "write packs anew in which more than this share is not needed (default 20%)")
                    ->type_name("SHARE");
                add_alone(app, options->place);
              },
          .run = [options](cli::Context& context) { return run_repo_gc(context, *options); }};
}

CommandSpec make_copy() {
  auto options = std::make_shared<CopyOptions>();
  return {.name = "repo copy",
          .group = "Subcommands",
          .summary = "copy checkpoints to a second place, sealed as they are",
          .example = "cacs repo copy --repo /srv/cacs --to s3://vault/cacs",
          .notes =
              "The copy is the same repository: the same keys and passphrases open it. Repeated, it sends what is "
              "missing there; interrupted, it goes on where it was. Collections there wait for it.",
          .setup =
              [options](CLI::App& app) {
                app.add_option("CHECKPOINT", options->checkpoints,
                               "ids, or unique beginnings of them; without any: all");
                add_place_options(app, options->place);
                app.add_option("--to", options->to, "where to: a directory, made if need be, or s3://BUCKET/PREFIX")
                    ->type_name("DIR")
                    ->required();
                app.add_option("--rate", options->rate, "send at most so much in a second (10MiB)")->type_name("SIZE");
              },
          .run = [options](cli::Context& context) { return run_repo_copy(context, *options); }};
}

void add_policy(CLI::App& app, ForgetOptions& options) {
  const auto add = [&app](const char* flag, std::string& value, const char* what) {
    app.add_option(flag, value, what)->type_name("N");
  };
  add("-l,--keep-last", options.last, "keep the newest N checkpoints, or unlimited");
  add("-H,--keep-hourly", options.hourly, "keep the newest of each of the last N hours that have one");
  add("-d,--keep-daily", options.daily, "the same for days");
  add("-w,--keep-weekly", options.weekly, "the same for weeks (ISO 8601)");
  add("-m,--keep-monthly", options.monthly, "the same for months");
  add("-y,--keep-yearly", options.yearly, "the same for years");
  app.add_option("--keep-within", options.within,
                 "keep what is younger than this, counted from the application's newest: 1y6m, 14d, 2d12h")
      ->type_name("SPAN");
}

CommandSpec make_forget() {
  auto options = std::make_shared<ForgetOptions>();
  return {.name = "repo forget",
          .group = "Subcommands",
          .summary = "remove checkpoints by rules of what to keep, or by name",
          .example = "cacs repo forget --repo /srv/cacs --keep-last 3 --keep-daily 7 --prune",
          .notes =
              "The rules are restic's, for each application by itself, in UTC: a checkpoint stays if any rule "
              "keeps it; where a rule has fewer periods than N, the oldest checkpoint fills it up. The newest of "
              "an application always stays. A node's own repository is refused without --force: the records of "
              "its applications name their checkpoints, and keep as many as the ASR says.",
          .setup =
              [options](CLI::App& app) {
                app.add_option("CHECKPOINT", options->checkpoints, "ids, or unique beginnings of them, to remove");
                add_place_options(app, options->place);
                add_policy(app, *options);
                app.add_option("--application", options->application, "only this: id, unique beginning of it, or name")
                    ->type_name("APP");
                app.add_flag("-n,--dry-run", options->dry_run, "only say what would be removed");
                app.add_flag("--prune", options->prune, "and give back their space, as gc does");
                add_alone(app, options->place);
                app.add_flag("--unsafe-allow-remove-all", options->remove_all,
                             "remove all checkpoints of the --application");
                app.add_flag("--force", options->force, "also in a node's own repository");
              },
          .run = [options](cli::Context& context) { return run_repo_forget(context, *options); }};
}

CommandSpec make_key_parent() {
  return {.name = "repo key",
          .group = "Subcommands",
          .summary = "passphrases and key files that open a repository",
          .example = "cacs repo key list",
          .setup = {},
          .run = {}};
}

using KeyRun = Result<int> (*)(cli::Context&, const KeyCommandOptions&);

CommandSpec make_key(const char* word, const char* summary, const char* example, const char* notes, KeyRun run,
                     void (*more)(CLI::App&, KeyCommandOptions&)) {
  auto options = std::make_shared<KeyCommandOptions>();
  return {.name = std::string("repo key ") + word,
          .group = "Subcommands",
          .summary = summary,
          .example = example,
          .notes = notes,
          .setup =
              [options, more](CLI::App& app) {
                add_place_options(app, options->place);
                more(app, *options);
              },
          .run = [options, run](cli::Context& context) { return run(context, *options); }};
}

void add_key_commands(std::vector<CommandSpec>& commands) {
  const auto new_keys = [](CLI::App& app, KeyCommandOptions& options) {
    add_other_keys(app, options.other, "new", "slot from now on");
  };
  commands.push_back(make_key_parent());
  commands.push_back(make_key("list", "list the key slots of a repository", "cacs repo key list --repo /srv/cacs",
                              "Needs no passphrase: slots tell who made them, on which host, and when.", run_key_list,
                              [](CLI::App&, KeyCommandOptions&) {}));
  commands.push_back(make_key("add", "add a passphrase or key file that opens a repository",
                              "cacs repo key add --repo /srv/cacs --new-key-file /root/cacs.key",
                              "Without an option the terminal is asked for the new passphrase, twice.", run_key_add,
                              new_keys));
  commands.push_back(make_key("remove", "remove a key slot", "cacs repo key remove --repo /srv/cacs 0193a4f2",
                              "Not the one that unlocked it just now, not the last, and not that of a node's agent.",
                              run_key_remove, [](CLI::App& app, KeyCommandOptions& options) {
                                app.add_option("SLOT", options.slot, "id, or a unique beginning of it")->required();
                              }));
  commands.push_back(make_key("passwd", "change the passphrase or key file of the key slot that it was unlocked with",
                              "cacs repo key passwd --repo /srv/cacs", "", run_key_passwd, new_keys));
  commands.push_back(make_key(
      "rotate", "make new keys for what is stored from now on",
      "cacs repo key rotate --repo /srv/cacs --also-key-file /root/cacs.key",
      "Key slots of which nothing is given here become stale: they open what is older, until refresh. Other processes "
      "that have the repository open go on with the older keys: stop them first. A node's agent has to be stopped.",
      run_key_rotate, [](CLI::App& app, KeyCommandOptions& options) {
        const auto add = [&app](const char* flag, std::vector<std::string>& files, const char* what) {
          app.add_option(flag, files, what)->type_name("FILE")->take_all()->expected(1);
        };
        add("--also-passphrase-file", options.also_passphrase_files, "passphrase of one more slot; may be repeated");
        add("--also-key-file", options.also_key_files, "key file of one more slot; may be repeated");
        add_alone(app, options.place);
      }));
  commands.push_back(make_key(
      "refresh", "give a stale key slot the newest keys",
      "cacs repo key refresh --repo /srv/cacs --stale-key-file /root/cacs.key", "", run_key_refresh,
      [](CLI::App& app, KeyCommandOptions& options) { add_other_keys(app, options.other, "stale", "stale slot"); }));
}

}  // namespace

std::vector<CommandSpec> repo_commands() {
  std::vector<CommandSpec> commands;
  for (auto make : {make_parent, make_init, make_stat, make_check, make_gc, make_forget, make_copy})
    commands.push_back(make());
  add_key_commands(commands);
  return commands;
}

}  // namespace cacs::tools
