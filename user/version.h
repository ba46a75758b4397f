/* user/version.h -- what --version, the start line and status say. */
#ifndef SALLYPORT_VERSION_H
#define SALLYPORT_VERSION_H

#define SALLYPORT_VERSION "0.1.0"

#endif
