"""Whole images in tables: which functions can be redirected, what is dangerous, and where there is room."""

from oddtoc.scan.image import ImageScan, images_table, scan_image, totals
from oddtoc.scan.schema import TABLES
from oddtoc.scan.table import Table

__all__ = ["TABLES", "ImageScan", "Table", "images_table", "scan_image", "totals"]
