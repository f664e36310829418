package ai.llmos.json;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;

/** Reads a document from each line, in hexadecimal, and writes it again; `!` for what is no JSON. For the comparison with Python. */
public final class FuzzMain {
    private FuzzMain() {}

    public static void main(String[] arguments) throws Exception {
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        var out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (var line = in.readLine(); line != null; line = in.readLine()) {
            out.print(answerTo(HexFormat.of().parseHex(line)) + "\n");
        }
        out.flush();
    }

    private static String answerTo(byte[] document) {
        try {
            return Json.write(Json.read(document));
        } catch (JsonException error) {
            return "!";
        }
    }
}
