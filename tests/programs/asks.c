/* Asks for its own checkpoints through libcacs and tells what it heard.
 *
 *   asks     prints "resumed ID" and goes on, or "restored ID" and ends with 0
 */
#include <cacs.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
  char id[64];
  printf("incarnation %ld\n", cacs_incarnation());
  fflush(stdout);
  const int result = cacs_checkpoint(CACS_WAIT_COMMITTED, id, sizeof id);
  if (result == CACS_RESTORED) {
    printf("restored %s incarnation %ld\n", id, cacs_incarnation());
    return 0;
  }
  if (result != CACS_RESUMED) {
    printf("error %s\n", cacs_error());
    return 1;
  }
  printf("resumed %s\n", id);
  fflush(stdout);
  for (;;) pause();
}
