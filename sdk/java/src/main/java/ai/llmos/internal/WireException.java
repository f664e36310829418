package ai.llmos.internal;

import java.io.IOException;

/** The bytes of the other side are no HTTP, or end too early. */
final class WireException extends IOException {
    private static final long serialVersionUID = 1;

    WireException(String message) {
        super(message);
    }
}
