-- What the guard found in a message when it was handed in; NULL where nobody has looked.
ALTER TABLE submission ADD COLUMN findings $json;
