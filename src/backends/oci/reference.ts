const defaultHost = "docker.io";

/**
 * The full name of an image. Docker takes short ones and completes them, other engines know an image by its full name alone: `busybox`
 * is `docker.io/library/busybox:latest`. The first part is a host where it has a dot or a port, or is `localhost` (the grammar of
 * github.com/distribution/reference).
 */
export function canonicalReference(written: string): string {
  const [first = "", ...rest] = written.split("/");
  const hasHost = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  const host = hasHost ? first : defaultHost;
  const path = hasHost ? rest.join("/") : written;
  const full = host === defaultHost && !path.includes("/") ? `library/${path}` : path;
  const isPinned = full.includes("@") || full.slice(full.lastIndexOf("/") + 1).includes(":");
  return `${host}/${full}${isPinned ? "" : ":latest"}`;
}
