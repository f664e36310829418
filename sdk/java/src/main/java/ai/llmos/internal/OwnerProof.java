package ai.llmos.internal;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.HexFormat;

/**
 * The proof that a server has the owner's key, which the client asks for before it sends that key.
 *
 * <p>The server answers a random challenge with an HMAC-SHA256 of it and of the port that it was reached at, under the key.
 */
final class OwnerProof {
    static final String PATH = "/health/identity";
    static final String CHALLENGE_HEADER = "llmos-challenge";
    static final String PROOF_HEADER = "llmos-proof";
    private static final int BLOCK_BYTES = 64;

    private OwnerProof() {}

    static String newChallenge() {
        var random = new byte[32];
        new SecureRandom().nextBytes(random);
        return HexFormat.of().formatHex(random);
    }

    static boolean isProof(String proof, String key, String challenge, int port) {
        var expected = prove(key, challenge, port);
        return MessageDigest.isEqual(proof.getBytes(StandardCharsets.UTF_8), expected.getBytes(StandardCharsets.UTF_8));
    }

    static String prove(String key, String challenge, int port) {
        var message = "llmos server proof\n" + challenge + "\n" + port;
        return HexFormat.of().formatHex(hmac(key.getBytes(StandardCharsets.UTF_8), message.getBytes(StandardCharsets.UTF_8)));
    }

    /** RFC 2104. To load Java's own takes 60 ms, since it checks the signatures of its providers first. */
    private static byte[] hmac(byte[] key, byte[] message) {
        var block = Arrays.copyOf(key.length > BLOCK_BYTES ? sha256(key) : key, BLOCK_BYTES);
        return sha256(xor(block, 0x5c), sha256(xor(block, 0x36), message));
    }

    private static byte[] xor(byte[] block, int with) {
        var result = new byte[block.length];
        for (int i = 0; i < block.length; i++) {
            result[i] = (byte) (block[i] ^ with);
        }
        return result;
    }

    private static byte[] sha256(byte[]... parts) {
        try {
            var digest = MessageDigest.getInstance("SHA-256");
            for (var part : parts) {
                digest.update(part);
            }
            return digest.digest();
        } catch (NoSuchAlgorithmException error) {
            throw new AssertionError("every JDK has SHA-256", error);
        }
    }
}
