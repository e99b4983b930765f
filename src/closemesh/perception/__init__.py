"""Stage"""
