package ai.llmos.internal;

import ai.llmos.errors.BadRequestException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.io.OutputStream;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/**
 * A file of this machine that is sent under a name.
 *
 * @param digest sha256:HEX of its content
 * @param isNamed it was named itself; otherwise it was found in a folder
 */
public record LocalFile(String name, Path path, String digest, boolean isNamed) {
    private static final int PIECE_BYTES = 8 << 20;

    /** Returns the file at a path, or those of a folder that aren't hidden. Throws a BadRequestException without one. */
    public static List<LocalFile> at(Path path) {
        if (Files.isRegularFile(path)) {
            return List.of(of(path.getFileName().toString(), path, true));
        }
        List<LocalFile> found = Files.isDirectory(path) ? in(path) : List.of();
        if (found.isEmpty()) {
            throw new BadRequestException(Problems.about("path", "There is no file " + path + ", and no folder with files."));
        }
        return found;
    }

    private static List<LocalFile> in(Path folder) {
        try (var paths = Files.walk(folder)) {
            return paths.filter(Files::isRegularFile)
                    .filter(path -> !isHidden(folder.relativize(path)))
                    .sorted()
                    .map(path -> of(folder.relativize(path).toString().replace('\\', '/'), path, false))
                    .toList();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static boolean isHidden(Path relative) {
        for (var part : relative) {
            if (part.toString().startsWith(".")) {
                return true;
            }
        }
        return false;
    }

    private static LocalFile of(String name, Path path, boolean isNamed) {
        try {
            var digest = MessageDigest.getInstance("SHA-256");
            try (var out = new DigestOutputStream(OutputStream.nullOutputStream(), digest)) {
                Files.copy(path, out);
            }
            return new LocalFile(name, path, "sha256:" + HexFormat.of().formatHex(digest.digest()), isNamed);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } catch (NoSuchAlgorithmException error) {
            throw new AssertionError("every JDK has SHA-256", error);
        }
    }

    public Map<String, Object> fields() {
        return Map.of("name", name, "digest", digest);
    }

    /** Sends what the server doesn't have of it, in pieces. After a break, it goes on where it ended. */
    public void send(Transport transport, String uploads) {
        var path = uploads + "/" + digest;
        try (var file = new RandomAccessFile(this.path.toFile(), "r")) {
            long size = file.length();
            long first = received(transport, Call.of("GET", path, null, reply -> reply));
            do {
                if (first >= size && size > 0) {
                    return;
                }
                var piece = new byte[(int) Math.min(PIECE_BYTES, size - first)];
                file.seek(first);
                file.readFully(piece);
                var span = size == 0 ? "bytes */0" : "bytes " + first + "-" + (first + piece.length - 1) + "/" + size;
                first = received(transport, new Call<>("PUT", path, null, piece,
                        Map.of("Content-Range", span, "Content-Type", "application/octet-stream"), reply -> reply));
            } while (first < size);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static long received(Transport transport, Call<Object> call) {
        return transport.request(call) instanceof Map<?, ?> map && map.get("received_bytes") instanceof Long bytes ? bytes : 0;
    }
}
