import ai.llmos.LLMOS;

/** Prints the seconds from the beginning of main to the first answer. */
public final class FirstAnswer {
    public static void main(String[] arguments) {
        long started = System.nanoTime();
        try (var llmos = LLMOS.fromEnv()) {
            var text = llmos.models().get("dialogue").generateText("The meaning of life is").text();
            System.out.println((System.nanoTime() - started) / 1e9 + (text.equals("Hello") ? 0 : Double.NaN));
        }
    }
}
