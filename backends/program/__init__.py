"""The program file `.fbz`: schema, writer, verified reader."""
