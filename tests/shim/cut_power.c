/* Takes the power from an ext4 file system: from that moment on nothing more
 * reaches its device, and what its journal has not written there is lost.
 *
 *     cut_power <directory on the file system>
 *
 * says "ready", waits for a byte, cuts, says "cut". Without a byte it does nothing. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* As linux/ext4.h of newer kernels has them. */
#define SHUTDOWN _IOR('X', 125, uint32_t)
#define WITHOUT_FLUSHING_THE_LOG 2

int main(int count, char **arguments) {
    uint32_t how = WITHOUT_FLUSHING_THE_LOG;
    int directory = count == 2 ? open(arguments[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (directory < 0) {
        perror("open");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF) return 0;
    if (ioctl(directory, SHUTDOWN, &how) != 0) {
        perror("ioctl");
        return 1;
    }
    puts("cut");
    return 0;
}
