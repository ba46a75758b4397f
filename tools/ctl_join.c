/* tools/ctl_join.c -- `sallyctl join TOKEN`: see ctl_setup.h. In: a token, a call server. Out: the core's key, certificate and configuration.
 *
 * What could fail here is tried before the edge is asked, as a token is good once: the files' places, the configuration, the key. */
#include "tools/ctl_setup.h"

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "tools/call_server.h"
#include "tools/join_tls.h"
#include "tools/pki_cert.h"
#include "tools/join_store.h"
#include "tools/setup_file.h"
#include "tools/stage.h"

#define DIAL_MS	  10000
#define ANSWER_MS 20000

struct join {
	const char *token_text, *dir, *name, *user, *call_server, *transport, *mode, *edge, *inside;
	bool force, renew; /* renew: key and certificates only, in place of those that are there */

	struct join_token token;
	struct addr edge_at, inside_at;
	struct call_server server;
	EVP_PKEY *key;
	char *request; /* PKCS#10, PEM */
	struct stage files;
	json_t *answer;
	char edge_name[JOIN_NAME_MAX];
};

static int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int complain(const char *fmt, ...)
{
	va_list ap;

	fputs("sallyctl join: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

/* ---- options ---- */

static int one_of(const char *option, const char *value, const char *a, const char *b)
{
	return strcmp(value, a) == 0 || strcmp(value, b) == 0
		       ? 0
		       : complain("%s: wanted %s or %s, got \"%s\"", option, a, b, value);
}

static int option(struct join *j, int c)
{
	switch (c) {
	case 'c':
		j->call_server = optarg;
		return 0;
	case 't':
		j->transport = optarg;
		return strcmp(optarg, "tls") != 0
			       ? one_of("--transport", optarg, "udp", "tcp")
			       : complain(
					 "--transport: tls needs certificates: join with tcp, then "
					 "see sip.tls in example-core.yaml");
	case 'm':
		j->mode = optarg;
		return one_of("--mode", optarg, "path", "contact");
	case 'n':
		j->name = optarg;
		return 0;
	case 'D':
		j->dir = optarg;
		return setup_is_path(optarg) ? 0
					     : complain("--dir: wanted an absolute path without "
							"quotes, got \"%s\"",
							optarg);
	case 'u':
		j->user = optarg;
		return 0;
	case 'e':
		j->edge = optarg;
		return 0;
	case 'i':
		j->inside = optarg;
		return 0;
	case 'F':
		j->force = true;
		return 0;
	case 'R':
		j->renew = true;
		return 0;
	default:
		return CTL_USAGE;
	}
}

static int parse(struct join *j, int argc, char **argv)
{
	static const struct option longs[] = {{"call-server", required_argument, NULL, 'c'},
					      {"transport", required_argument, NULL, 't'},
					      {"mode", required_argument, NULL, 'm'},
					      {"name", required_argument, NULL, 'n'},
					      {"dir", required_argument, NULL, 'D'},
					      {"user", required_argument, NULL, 'u'},
					      {"edge", required_argument, NULL, 'e'},
					      {"inside", required_argument, NULL, 'i'},
					      {"force", no_argument, NULL, 'F'},
					      {"renew", no_argument, NULL, 'R'},
					      {NULL, 0, NULL, 0}};
	int c, err = 0;

	optind = 0; /* GNU: start afresh, with permutation */
	while (!err && (c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		err = option(j, c);
	if (err)
		return err;
	if (argc - optind != 1)
		return CTL_USAGE;
	j->token_text = argv[optind];
	if (j->renew && (j->call_server || j->force))
		return complain(
			"--renew leaves core.yaml as it is: without --call-server and --force");
	return j->call_server || j->renew
		       ? 0
		       : complain("--call-server HOST[:PORT] is wanted: where your phones "
				  "register");
}

static int read_token(struct join *j)
{
	char line[2 * JOIN_TOKEN_MAX], now[32], end[32];
	const char *text = j->token_text, *why;
	time_t t = time(NULL), e;
	struct tm tm;
	int err;

	if (!strcmp(text, "-"))
		text = fgets(line, sizeof(line), stdin) ? line : "";
	err = join_token_read(text, &j->token, &why);
	OPENSSL_cleanse(line, sizeof(line));
	if (err)
		return complain(
			"this is not a whole token (%s): copy it once more, it is one long word",
			why);
	if (j->name && strcmp(j->name, j->token.core) != 0)
		return complain(
			"this token is for %s, not for %s: join without --name, or on the edge: "
			"sallyctl invite --core %s",
			j->token.core, j->name, j->name);
	e = (time_t)j->token.expires;
	if (t < e)
		return 0;
	gmtime_r(&e, &tm);
	strftime(end, sizeof(end), "%Y-%m-%d %H:%M", &tm);
	gmtime_r(&t, &tm);
	strftime(now, sizeof(now), "%Y-%m-%d %H:%M", &tm);
	return complain(
		"this token ended at %s UTC, and it is %s UTC here: set this clock if that is "
		"wrong; else on the edge: sallyctl invite --core %s",
		end, now, j->token.core);
}

static int addresses(struct join *j)
{
	const char *edge = j->edge ? j->edge : j->token.address;
	char why[CALL_SERVER_WHY];
	int err;

	if (addr_parse(span_str(edge), &j->edge_at))
		return complain("--edge: wanted ADDRESS[:PORT], got \"%s\"", edge);
	if (!j->edge_at.port)
		j->edge_at.port = 7001;
	if (j->renew)
		return 0;
	if (call_server_find(j->call_server, j->transport, &j->server, why))
		return complain("--call-server: %s", why);
	if (j->inside)
		return !addr_parse(span_str(j->inside), &j->inside_at) && !j->inside_at.port
			       ? 0
			       : complain("--inside: wanted an IP address, got \"%s\"", j->inside);
	err = host_source(&j->server.at, &j->inside_at);
	return !err ? 0
		    : complain("--call-server: there is no way to %s: %s", j->server.text,
			       strerror(-err));
}

/* ---- files ---- */

static int add(struct join *j, const char *folder, const char *name, const char *ext, mode_t mode,
	       struct span text)
{
	char path[JOIN_PATH_MAX], why[STAGE_WHY_MAX];

	if (snprintf(path, sizeof(path), "%s/%s%s%s", j->dir, folder, name, ext) >=
	    (int)sizeof(path))
		return complain("%s: too long", j->dir);
	return stage_add(&j->files, path, mode, text, why) ? complain("%s", why) : 0;
}

static int check_places(const struct join *j)
{
	char path[JOIN_PATH_MAX], why[STAGE_WHY_MAX];
	const char *const names[][3] = {{"", "core", ".yaml"},
					{"pki/", j->token.core, ".key"},
					{"pki/", j->token.core, ".crt"},
					{"pki/", "ca", ".crt"}};
	unsigned k;

	snprintf(path, sizeof(path), "%s/core.yaml", j->dir);
	if (j->renew && access(path, F_OK))
		return complain("--renew: there is no %s: join with --call-server", path);
	for (k = 0; k < 4; k++) {
		snprintf(path, sizeof(path), "%s/%s%s%s", j->dir, names[k][0], names[k][1],
			 names[k][2]);
		if (stage_check(&j->files, path, why))
			return complain("%s", why);
	}
	return 0;
}

/* One that is there stays: registered phones know what was made with it, and other cores may have it. */
static int add_token_key(struct join *j)
{
	uint8_t random[32];
	char path[JOIN_PATH_MAX];
	int err;

	snprintf(path, sizeof(path), "%s/token.key", j->dir);
	if (!access(path, F_OK))
		return 0;
	if (RAND_bytes(random, sizeof(random)) != 1)
		return complain("no random numbers");
	err = add(j, "", "token", ".key", 0600, span_of(random, sizeof(random)));
	OPENSSL_cleanse(random, sizeof(random));
	return err;
}

static int make_request(struct join *j)
{
	X509_REQ *req = X509_REQ_new();
	BIO *b = BIO_new(BIO_s_mem());
	char *bytes, *pem = NULL;
	int err = 1;
	long n;

	j->key = pki_key_new();
	if (j->key && req && b && X509_REQ_set_version(req, X509_REQ_VERSION_1) &&
	    X509_REQ_set_pubkey(req, j->key) && X509_REQ_sign(req, j->key, NULL) > 0 &&
	    PEM_write_bio_X509_REQ(b, req)) {
		n = BIO_get_mem_data(b, &bytes);
		j->request = strndup(bytes, (size_t)n);
		pem = pki_key_pem(j->key);
	}
	if (pem && j->request)
		err = add(j, "pki/", j->token.core, ".key", 0600, span_str(pem));
	else
		complain("OpenSSL has no memory, or no Ed25519");
	if (pem)
		OPENSSL_cleanse(pem, strlen(pem));
	free(pem);
	X509_REQ_free(req);
	BIO_free(b);
	return err;
}

/* NULL after a complaint. @edge, @domains: from the answer, or a draft's. */
static char *config_text(const struct join *j, const char *edge, const char *const *domains,
			 unsigned n)
{
	char at[ADDR_TEXT_MAX], inside[ADDR_TEXT_MAX], why[CONFIG_WHY_MAX], *text;
	struct setup_core c = {.dir = j->dir,
			       .name = j->token.core,
			       .user = j->user,
			       .edge = edge,
			       .edge_address = addr_text(&j->edge_at, at),
			       .link = addr_is_v4(&j->edge_at) ? "0.0.0.0:2776" : "[::]:2776",
			       .inside = addr_ip_text(&j->inside_at, inside),
			       .call_server = j->server.text,
			       .note = j->server.note,
			       .transport = j->transport,
			       .mode = j->mode,
			       .domains = domains,
			       .n_domains = n};

	text = setup_core_text(&c, why);
	if (!text)
		complain("%s", why);
	return text;
}

static int prepare(struct join *j)
{
	const char *draft[] = {"example.invalid"};
	char *text;
	int err;

	j->files.force = j->force || j->renew;
	err = check_places(j);
	if (j->renew)
		return err ? err : make_request(j);
	text = err ? NULL : config_text(j, "edge.example.invalid", draft, 1);
	if (!text)
		return 1;
	free(text);
	if (mkdir(j->dir, 0755) && errno != EEXIST)
		return complain("%s: %s", j->dir, strerror(errno));
	err = add_token_key(j);
	return err ? err : make_request(j);
}

/* ---- the edge ---- */

static int dial_complaint(const struct join *j, int err, const char *why)
{
	char at[ADDR_TEXT_MAX];

	addr_text(&j->edge_at, at);
	switch (err) {
	case -ECONNREFUSED:
		return complain(
			"nobody listens at %s: on the edge, let \"sallyctl invite\" wait; or it "
			"has another address for us: --edge ADDRESS[:PORT]",
			at);
	case -ETIMEDOUT:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
		return complain(
			"%s does not answer (%s): firewalls between here and the edge have to let "
			"tcp port %u through, from here to there; or it has another address for "
			"us: --edge ADDRESS[:PORT]",
			at, why, j->edge_at.port);
	case -EKEYREJECTED:
		return complain(
			"the machine at %s is not the edge that made this token: it has another "
			"key. Nothing was sent to it. Look at the address, and at what stands in "
			"between; if the edge got a new key, run sallyctl invite --core %s there",
			at, j->token.core);
	case -ENOPROTOOPT:
		return complain(
			"the edge at %s runs, but waits for no core (the token was used, or has "
			"ended, or nobody waits): run sallyctl invite on it, then join again",
			at);
	default:
		return complain(
			"%s: %s: look at what \"sallyctl invite\" on the edge says, and join again",
			at, why);
	}
}

static json_t *question(const struct join *j, struct join_conn *c)
{
	uint8_t exporter[JOIN_HASH], proof[JOIN_HASH];
	char id[JOIN_ID_MAX], hex[2 * JOIN_HASH + 1];
	json_t *q;

	if (join_exporter(c, exporter))
		return NULL;
	join_token_id(j->token.secret, id);
	join_proof(j->token.secret, exporter, span_str(j->request), proof);
	join_hex(proof, sizeof(proof), hex);
	q = json_pack("{s:i,s:s,s:s,s:s}", "v", 1, "id", id, "request", j->request, "proof", hex);
	if (q && j->name)
		json_object_set_new(q, "name", json_string(j->name));
	return q;
}

static bool is_of(X509 *x, X509 *ca, const char *name)
{
	return X509_verify(x, X509_get0_pubkey(ca)) == 1 &&
	       X509_check_host(x, name, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;
}

/* The certificate is ours, the CA is that of the edge that we talk to: what the daemons will ask of each other. */
static bool fits(struct join *j, struct join_conn *c)
{
	const char *crt = json_string_value(json_object_get(j->answer, "certificate")),
		   *ca_text = json_string_value(json_object_get(j->answer, "ca")),
		   *edge = json_string_value(json_object_get(j->answer, "edge"));
	X509 *x = crt ? pki_cert_parse(crt) : NULL, *ca = ca_text ? pki_cert_parse(ca_text) : NULL;
	bool ok = x && ca && edge && strlen(edge) < sizeof(j->edge_name) && setup_is_name(edge) &&
		  X509_check_private_key(x, j->key) == 1 && is_of(x, ca, j->token.core) &&
		  join_peer_cert(c) && is_of(join_peer_cert(c), ca, edge);

	if (ok)
		strcpy(j->edge_name, edge);
	X509_free(x);
	X509_free(ca);
	return ok;
}

static int ask(struct join *j)
{
	struct join_conn *c = NULL;
	char why[JOIN_WHY_MAX], a[JOIN_WHY_MAX], b[JOIN_WHY_MAX];
	int err = join_dial(&j->edge_at, j->token.pin, DIAL_MS, &c, why);
	const json_t *error;
	json_t *q;

	if (err)
		return dial_complaint(j, err, why);
	q = question(j, c);
	err = q ? join_send(c, q, ANSWER_MS, why) : -ENOMEM;
	json_decref(q);
	if (!err)
		err = join_receive(c, ANSWER_MS, &j->answer, why);
	error = json_object_get(j->answer, "error");
	if (err)
		err = complain(
			"the edge gave no answer (%s). The token may be used now: on the edge, "
			"sallyctl invite --core %s makes another one",
			err == -ENOMEM ? "out of memory" : why, j->token.core);
	else if (error)
		err = complain(
			"the edge refuses: %s: %s",
			ctl_plain(json_string_value(error) ? json_string_value(error) : "?", a,
				  sizeof(a)),
			ctl_plain(json_string_value(json_object_get(j->answer, "mend"))
					  ? json_string_value(json_object_get(j->answer, "mend"))
					  : "",
				  b, sizeof(b)));
	else if (!fits(j, c))
		err = complain(
			"the edge's answer does not fit together: install the same release of "
			"sallyport on both machines");
	join_close(c);
	return err;
}

static int add_certificates(struct join *j)
{
	int err = add(j, "pki/", j->token.core, ".crt", 0644,
		      span_str(json_string_value(json_object_get(j->answer, "certificate"))));

	return err ? err
		   : add(j, "pki/", "ca", ".crt", 0644,
			 span_str(json_string_value(json_object_get(j->answer, "ca"))));
}

static int finish(struct join *j)
{
	const char *domains[JOIN_DOMAINS_MAX];
	const json_t *list = json_object_get(j->answer, "domains"), *v;
	char why[STAGE_WHY_MAX], *text;
	unsigned n = 0;
	size_t i;
	int err;

	if (j->renew) {
		err = add_certificates(j);
		return !err && stage_commit(&j->files, why) ? complain("%s", why) : err;
	}
	json_array_foreach(list, i, v) if (n < JOIN_DOMAINS_MAX && json_string_value(v) &&
					   setup_is_name(json_string_value(v))) domains[n++] =
		json_string_value(v);
	if (!n)
		return complain("the edge named no domain: look at link.cores in its edge.yaml");
	text = config_text(j, j->edge_name, domains, n);
	if (!text)
		return 1;
	err = add_certificates(j);
	if (!err)
		err = add(j, "", "core", ".yaml", 0644, span_str(text));
	if (!err && stage_commit(&j->files, why))
		err = complain("%s", why);
	free(text);
	return err;
}

static void tell(const struct join *j, bool json)
{
	char at[ADDR_TEXT_MAX], inside[ADDR_TEXT_MAX];
	unsigned k;

	addr_text(&j->edge_at, at);
	addr_ip_text(&j->inside_at, inside);
	if (json) {
		printf("{\"name\":\"%s\",\"edge\":\"%s\",\"address\":\"%s\",\"call_server\":\"%s\"}"
		       "\n",
		       j->token.core, j->edge_name, at, j->server.text);
		return;
	}
	printf("%s has joined %s at %s.\n", j->token.core, j->edge_name, at);
	if (!j->renew)
		printf("  towards the call server %s: from %s\n", j->server.text, inside);
	puts("written:");
	for (k = 0; k < j->files.n; k++)
		printf("  %s\n", j->files.files[k].path);
	if (j->renew) {
		puts("A sallyport-core that runs takes it up within seconds.");
		return;
	}
	if (!getpwnam(j->user))
		printf("There is no account %s yet: useradd --system --no-create-home %s\n",
		       j->user, j->user);
	printf("Next: systemctl enable --now sallyport-core   (or: sallyport-core -c "
	       "%s/core.yaml)\n",
	       j->dir);
}

int ctl_join(const struct ctl_options *o, int argc, char **argv)
{
	struct join j = {.dir = SETUP_DIR, .user = "sallyport", .transport = "udp", .mode = "path"};
	int err = parse(&j, argc, argv);

	if (err)
		return err;
	stage_guard(&j.files);
	err = read_token(&j);
	if (!err)
		err = addresses(&j);
	if (!err)
		err = prepare(&j);
	if (!err)
		err = ask(&j);
	if (!err)
		err = finish(&j);
	if (!err)
		tell(&j, o->json);
	stage_drop(&j.files);
	OPENSSL_cleanse(j.token.secret, sizeof(j.token.secret));
	json_decref(j.answer);
	EVP_PKEY_free(j.key);
	free(j.request);
	return err;
}
