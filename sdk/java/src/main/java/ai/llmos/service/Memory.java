package ai.llmos.service;

import ai.llmos.Message;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The conversations of a service. A turn is what a person says and all that follows until the answer is complete: calls of tools
 * with their results, and the answer. Turns are added and dropped whole, so that a conversation is valid wherever it begins or ends.
 */
public interface Memory {
    /** Returns the messages of a session so far. */
    List<Message> messages(String session);

    /** Adds a whole turn to a session. */
    void add(String session, List<Message> turn);

    /** Forgets a session. */
    void remove(String session);

    /** Returns a memory in this process, which keeps the last turns of each session. */
    static Memory ofTurns(int maxTurns) {
        if (maxTurns < 1) {
            throw new IllegalArgumentException("A memory keeps at least one turn, not " + maxTurns + ".");
        }
        return new InProcess(maxTurns);
    }

    /** Keeps the turns in a map. */
    final class InProcess implements Memory {
        private final int maxTurns;
        private final Map<String, Deque<List<Message>>> sessions = new ConcurrentHashMap<>();

        private InProcess(int maxTurns) {
            this.maxTurns = maxTurns;
        }

        @Override
        public List<Message> messages(String session) {
            var turns = sessions.computeIfAbsent(session, name -> new ArrayDeque<>());
            synchronized (turns) {
                return turns.stream().flatMap(List::stream).toList();
            }
        }

        @Override
        public void add(String session, List<Message> turn) {
            var turns = sessions.computeIfAbsent(session, name -> new ArrayDeque<>());
            synchronized (turns) {
                turns.addLast(List.copyOf(turn));
                if (turns.size() > maxTurns) {
                    turns.removeFirst();
                }
            }
        }

        @Override
        public void remove(String session) {
            sessions.remove(session);
        }
    }
}
