#pragma once

#include <memory>

#include "repository/backend/backend.h"

namespace cacs::repository {

/// Tries on the store itself what cannot be taken from its documentation, with small objects `probe/<uuid>` that are
/// removed again (also after a failure; those of a probe that was killed stay, and may be removed by anybody):
/// - that a name read after a commit, a replacement and a removal shows their effect. Without that a store cannot be
///   used: kUnsupported;
/// - whether Overwrite::kNo refuses a taken name, also of two writers that commit at once: traits.exclusive_create;
/// - whether listings are up to date: traits.current_listing.
/// `local` is taken over from the backend. What a store does now and then only may pass unnoticed: a few rounds are
/// made, about 100 requests. Errors of the store itself are returned as they are.
Result<BackendTraits> probe_backend(Backend& backend);

/// The backend, with the traits that were found in place of its own.
Result<std::unique_ptr<Backend>> make_probed_backend(std::unique_ptr<Backend> backend);

}  // namespace cacs::repository
