/* user/page.c -- the embedded status page by path. In: a path. Out: one of the files that tools/embed turned into tables. */
#include "user/page.h"

const struct page_file *page_find(struct span path)
{
	size_t i;

	for (i = 0; i < page_files_n; i++)
		if (span_eq(path, span_str(page_files[i].path)))
			return &page_files[i];
	return NULL;
}
