/* Preloaded: the wall clock of a process, moved by the seconds that a file holds; the steady clock stays. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static volatile long *offset_s;

__attribute__((constructor)) static void open_offset(void) {
    const char *path = getenv("JUMPING_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    void *place = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset_s, PROT_READ, MAP_SHARED, file, 0);
    if (place != MAP_FAILED) offset_s = place;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int status = real(clock, now);
    if (!status && clock == CLOCK_REALTIME && offset_s) now->tv_sec += *offset_s;
    return status;
}

/* Who waits until a time of the moved clock has to wait until that of the kernel's. */
static struct timespec kernels(const struct timespec *until) {
    struct timespec moved = *until;
    if (offset_s && moved.tv_sec > 1000000000) moved.tv_sec -= *offset_s; /* steady times are far smaller */
    return moved;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    REAL(pthread_cond_timedwait);
    struct timespec moved = kernels(until);
    return real(condition, mutex, &moved);
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until) {
    REAL(pthread_mutex_timedlock);
    struct timespec moved = kernels(until);
    return real(mutex, &moved);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
    REAL(sem_timedwait);
    struct timespec moved = kernels(until);
    return real(semaphore, &moved);
}
