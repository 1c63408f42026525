/* libcacs: for applications that want to ask for a checkpoint themselves, or report progress.
 *
 * Nothing needs it: CACS saves programs that know nothing of it. With it a program can be saved at the moment that
 * suits it best (between two iterations), and knows afterwards whether it goes on or has been brought back to life.
 *
 *   char id[64];
 *   switch (cacs_checkpoint(CACS_WAIT_COMMITTED, id, sizeof id)) {
 *     case CACS_RESUMED:  the checkpoint `id` was taken, and we go on
 *     case CACS_RESTORED: we were restored from the checkpoint `id`: seconds or weeks may have passed
 *     default:            no checkpoint; cacs_error() says why
 *   }
 *
 * C and C++, no dependencies. Every call may be made from any thread; each uses a connection of its own.
 */
#ifndef CACS_H
#define CACS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Results of cacs_checkpoint. */
#define CACS_RESUMED 1
#define CACS_RESTORED 2
#define CACS_ERROR (-1)
/* Not running under CACS: nothing was done. Programs can go on as if they had never asked. */
#define CACS_NOT_IN_POD (-2)

/* Flags of cacs_checkpoint. */
#define CACS_WAIT_COMMITTED 1 /* return only when the checkpoint survives what its level survives (local) */

/* Asks for a checkpoint and waits until it is taken (or committed, by `flags`). Its id goes to `id`, of `id_size` bytes
 * (37 hold a UUID), which may be NULL. */
int cacs_checkpoint(int flags, char* id, size_t id_size);

/* Tells how far the work has come, in any unit that rises. 0, CACS_ERROR or CACS_NOT_IN_POD. */
int cacs_progress(long long value);

/* How many times the application was started or restored, from 1; CACS_ERROR or CACS_NOT_IN_POD. */
long cacs_incarnation(void);

/* Why the last call on this thread failed, for people. */
const char* cacs_error(void);

#ifdef __cplusplus
}
#endif

#endif
