package ai.llmos.internal;

import ai.llmos.errors.BadRequestException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;

/** The tar archive of an application's folder: plain files, without what is hidden, __pycache__ and node_modules. */
public final class AppArchive {
    private static final int BLOCK = 512;
    private static final int MAX_NAME_BYTES = 100;
    private static final Set<String> LEFT_OUT = Set.of("__pycache__", "node_modules");

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    private AppArchive() {}

    /** Returns the archive of a folder. The same files give the same bytes. */
    public static byte[] of(Path folder) {
        if (!Files.isRegularFile(folder.resolve("app.yaml"))) {
            throw new BadRequestException(Problems.about("files",
                    "There is no app.yaml in " + folder + ". `llmos app init` makes a folder with one."));
        }
        var archive = new AppArchive();
        try (var paths = Files.walk(folder)) {
            for (var path : paths.filter(each -> isPart(folder.relativize(each))).filter(Files::isRegularFile).sorted().toList()) {
                archive.add(folder.relativize(path).toString().replace('\\', '/'), Files.readAllBytes(path));
            }
        } catch (IOException error) {
            throw new BadRequestException(Problems.about("files", error.getMessage() + " can't be read."));
        }
        archive.out.writeBytes(new byte[2 * BLOCK]);
        return archive.out.toByteArray();
    }

    private static boolean isPart(Path relative) {
        for (var part : relative) {
            if ((part.toString().startsWith(".") && !part.toString().isEmpty()) || LEFT_OUT.contains(part.toString())) {
                return false;
            }
        }
        return true;
    }

    private void add(String name, byte[] content) {
        var bytes = name.getBytes(StandardCharsets.UTF_8);
        if (bytes.length > MAX_NAME_BYTES || bytes.length != name.length()) {
            // A record of POSIX.1-2001 before the file has its name.
            entry("path".getBytes(StandardCharsets.UTF_8), 'x', record(name));
            bytes = java.util.Arrays.copyOf(bytes, Math.min(bytes.length, MAX_NAME_BYTES));
        }
        entry(bytes, '0', content);
    }

    /** Returns `LENGTH path=NAME`, whose length counts its own digits. */
    private static byte[] record(String name) {
        var rest = (" path=" + name + "\n").getBytes(StandardCharsets.UTF_8);
        int length = rest.length;
        while (length != rest.length + String.valueOf(length).length()) {
            length = rest.length + String.valueOf(length).length();
        }
        return (length + " path=" + name + "\n").getBytes(StandardCharsets.UTF_8);
    }

    private void entry(byte[] name, char type, byte[] content) {
        var header = new byte[BLOCK];
        System.arraycopy(name, 0, header, 0, name.length);
        put(header, 100, "0000644\0" + "0000000\0" + "0000000\0" + String.format("%011o\0", content.length) + "00000000000\0");
        put(header, 148, "        " + type);
        put(header, 257, "ustar\0" + "00");
        int sum = 0;
        for (byte each : header) {
            sum += each & 255;
        }
        put(header, 148, String.format("%06o\0 ", sum));
        out.writeBytes(header);
        out.writeBytes(content);
        out.writeBytes(new byte[(BLOCK - content.length % BLOCK) % BLOCK]);
    }

    private static void put(byte[] header, int at, String text) {
        System.arraycopy(text.getBytes(StandardCharsets.US_ASCII), 0, header, at, text.length());
    }
}
