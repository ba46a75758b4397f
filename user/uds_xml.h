/* user/uds_xml.h -- what call servers' User Data Services are asked, and their answers.
 *
 * In: user names; bodies of answers (XML). Out: paths; what the answers say. Strict: well-formed UTF-8 XML by expat, no
 * document type and no entities of its own, the elements once and with the values that are known; anything else is no answer.
 * Limits: 64 KiB, 16 levels, 2,000 elements. Nothing is kept; expat's memory is freed on return. */
#ifndef SALLYPORT_UDS_XML_H
#define SALLYPORT_UDS_XML_H

#include "user/http_token.h"

#define UDS_BODY_MAX 65536
#define UDS_PATH_MAX (64 + 3 * HTTP_TOKEN_USER_MAX)

/* "/cucm-uds/clusterUser?username=USER", "/cucm-uds/user/USER"; all but letters, digits, '-', '.', '_', '~' is escaped. Return
 * @out. */
const char *uds_path_cluster_user(const char *user, char out[UDS_PATH_MAX]);
const char *uds_path_user(const char *user, char out[UDS_PATH_MAX]);

/* <clusterUser><result found="true|false"/><homeCluster serversUri="https://HOST..."/></clusterUser>. 0, or -EBADMSG with
 * *why. */
struct uds_cluster_user {
	bool found;
	char home[256]; /* host of serversUri, in small letters; "" when not found */
};
int uds_cluster_user(struct span body, struct uds_cluster_user *out, const char **why);

/* <user><userName>NAME</userName>...</user>: how the cluster spells it; "" where it does not say. 0, or -EBADMSG with *why. */
int uds_user(struct span body, char name[HTTP_TOKEN_USER_MAX], const char **why);

#endif
