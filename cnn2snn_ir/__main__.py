"""`python -m cnn2snn_ir` is the `cnn2snn-ir` command."""

from cnn2snn_ir.tools.cnn2snn import main

if __name__ == "__main__":
    raise SystemExit(main())
