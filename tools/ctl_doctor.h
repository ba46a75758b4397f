/* tools/ctl_doctor.h -- `sallyctl doctor`. In: argv from "doctor" on. Out: findings on standard output; exit 0, 1 (something would stop
 * a user), 2 (usage). See tools/ctl_doctor.c. */
#ifndef SALLYPORT_CTL_DOCTOR_H
#define SALLYPORT_CTL_DOCTOR_H

#include "tools/ctl.h"

ctl_fn ctl_doctor_main;

#endif
