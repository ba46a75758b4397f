/* tools/pki.h -- `sallyctl pki`: the link's private CA. In: argv from "pki" on. Out: files in a directory; exit status 0, 1 (failed),
 * 2 (usage). See tools/pki.c. */
#ifndef SALLYPORT_PKI_H
#define SALLYPORT_PKI_H

int pki_main(int argc, char **argv);

#endif
