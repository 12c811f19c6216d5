#ifndef FAIL_H
#define FAIL_H

/* Writes "sqlite-query: " and one line to stderr and ends with exit code 1. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
