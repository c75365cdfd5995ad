package embedded

import "context"

// Find looks for binaries for the data directory at the given places and below
// the cache only, and then downloads them.
func Find(ctx context.Context, dataDirectory, glob, cache, url string) (string, error) {
	d, err := openDirectory(dataDirectory)
	if err != nil {
		return "", err
	}
	return d.binaries(ctx, search{
		globs:    []string{glob, downloaded(cache) + "/*/bin"},
		download: downloader(cache, url),
	})
}
