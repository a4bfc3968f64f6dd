DELETE FROM message_index;
