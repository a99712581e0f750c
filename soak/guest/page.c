/* SPDX-License-Identifier: GPL-2.0-only */
/* nginx takes another file for a page: /srv/page.b where page.a is asked for. */
#include <oddtoc.h>
#include <stddef.h>

struct request;

/* ngx_str_t */
struct text {
	size_t length;
	unsigned char *bytes;
};

unsigned char *ngx_http_map_uri_to_path(struct request *request, struct text *path, size_t *root, size_t reserved);
typeof(ngx_http_map_uri_to_path) ODDTOC_ORIGINAL(ngx_http_map_uri_to_path);

static unsigned char *my_path(struct request *request, struct text *path, size_t *root, size_t reserved)
{
	unsigned char *end = ODDTOC_ORIGINAL(ngx_http_map_uri_to_path)(request, path, root, reserved);

	if (end)
		end[-1] = 'b';
	return end;
}

ODDTOC_REPLACE(nginx, ngx_http_map_uri_to_path, my_path);
