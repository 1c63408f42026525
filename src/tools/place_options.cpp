#include "tools/place_options.h"

#include <CLI/CLI.hpp>

namespace cacs::tools {

namespace {

void add_keys(CLI::App& app, KeyOptions& key) {
  CLI::Option* file = app.add_option("--passphrase-file,--password-file", key.passphrase_file,
                                     "a file with the passphrase, mode 0600 (CACS_PASSPHRASE_FILE)")
                          ->type_name("FILE");
  CLI::Option* command = app.add_option("--passphrase-command,--password-command", key.passphrase_command,
                                        "a command that prints it (CACS_PASSPHRASE_COMMAND)")
                             ->type_name("COMMAND");
  CLI::Option* key_file =
      app.add_option("--key-file", key.key_file, "a key file instead (CACS_KEY_FILE)")->type_name("FILE");
  file->excludes(command)->excludes(key_file);
  command->excludes(key_file);
}

}  // namespace

void add_place_options(CLI::App& app, PlaceOptions& place) {
  app.add_option("-r,--repo", place.location, "where it is: a directory or s3://BUCKET/PREFIX (CACS_REPOSITORY)")
      ->type_name("DIR");
  add_keys(app, place.key);
}

}  // namespace cacs::tools
