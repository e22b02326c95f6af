/* Preloaded into a server, this makes its syncs do nothing: what group commit costs is the
 * difference. For measuring only: what such a server calls durable is in the page cache. */

int fdatasync(int descriptor)
{
    (void)descriptor;
    return 0;
}

int fsync(int descriptor)
{
    (void)descriptor;
    return 0;
}
