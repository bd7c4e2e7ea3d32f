package dev.capsule.channel;

import java.util.List;

/// What a [PublisherSocket] sends to its subscribers.
public sealed interface Publication {
    /// A message that is never dropped.
    ///
    /// @param frames at least one; the first is the topic
    record Plain(List<byte[]> frames) implements Publication {
        public Plain {
            frames = List.copyOf(frames);
            if (frames.isEmpty()) {
                throw new IllegalArgumentException("a publication without a topic");
            }
        }
    }

    /// Text that a subscriber with a large backlog gets merged with the text around it, or dropped with a note.
    ///
    /// @param utf8 may begin and end inside a character. Pieces of more than 1 MiB are sent, but count as one: cut them,
    ///        and wait for [PublisherSocket#awaitRoom] before each
    @SuppressWarnings("ArrayRecordComponent") // Texts are not compared.
    record Text(TextStream stream, byte[] utf8) implements Publication {}

    /// Where text belongs, and how it becomes a message. Texts that follow each other are merged when their streams are
    /// equal, so make it a record of the topic, the stream's name and the parent.
    ///
    /// Called on any thread that publishes and on the reactor's, with locks held: it must not wait for another thread.
    interface TextStream {
        byte[] topic();

        /// The message for a text; the first frame is the topic.
        List<byte[]> frames(byte[] utf8);

        /// The text to be shown in this stream where text was dropped.
        ///
        /// @param lines the line ends in the dropped text
        /// @param bytes its length
        byte[] droppedNote(long lines, long bytes);
    }
}
