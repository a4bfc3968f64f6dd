-- The zone the Date header was written in, minutes east of UTC; 0 also where it was not kept.
ALTER TABLE message ADD COLUMN sent_zone INTEGER NOT NULL DEFAULT 0;
-- Instants that no answer can show: outside the years 1 to 9999.
UPDATE message SET sent_at = NULL WHERE sent_at < -62135596800000 OR sent_at > 253402300799999;
