"""What people do, said in a closed language: written from motion, read from text, asked of a model that sees."""
